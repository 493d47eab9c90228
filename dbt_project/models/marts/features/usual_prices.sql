{% set days = 90 %}

-- Only what was known on the day of the purchase counts: a verdict on a purchase never changes later.
with purchase_days as (
    select distinct
        item_id,
        event_date
    from {{ ref('int_user_item_days') }}
    where event_type = 'purchase' and {{ known_as_of() }} and {{ in_last_days(365) }}
),

stretches as (
    select
        purchase_days.item_id,
        purchase_days.event_date,
        prices.price,
        prices.valid_from,
        least(prices.valid_until, purchase_days.event_date + 1)
        - greatest(prices.valid_from, purchase_days.event_date - {{ days - 1 }}) as days_at_price
    from purchase_days
    inner join {{ ref('stg_item_prices') }} as prices on purchase_days.item_id = prices.item_id
    where
        prices.valid_from <= purchase_days.event_date
        and prices.valid_until > purchase_days.event_date - {{ days - 1 }}
),

added_up as (
    select
        item_id,
        event_date,
        price,
        sum(days_at_price) over (partition by item_id, event_date) as days_known,
        sum(days_at_price) over (
            partition by item_id, event_date
            order by price, valid_from
            rows between unbounded preceding and current row
        ) as days_up_to_price
    from stretches
),

medians as (
    select
        item_id,
        event_date,
        cast(min(price) as double) as usual_price,
        cast(any_value(days_known) as bigint) as days_known
    from added_up
    where 2 * days_up_to_price >= days_known
    group by item_id, event_date
)

select * from medians
order by item_id, event_date

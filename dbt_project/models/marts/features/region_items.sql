{% set least_buyers = 20 %}  -- of a region: what fewer do is their own affair
{% set least_buyers_of_item = 3 %}
{% set longest = 100 %}

with purchases as (
    select
        users.region,
        item_days.user_id,
        item_days.item_id,
        -- Halved every 14 days; exact, as decayed_weight is.
        cast(
            item_days.actions * 0.5 ** (({{ shop_day() }} - item_days.event_date) / 14.0) as decimal(18, 6)
        ) as weight
    from {{ ref('int_user_item_days') }} as item_days
    inner join {{ ref('user_features') }} as users on item_days.user_id = users.user_id
    where
        item_days.event_type = 'purchase'
        and users.region is not null
        and {{ known_as_of() }}
        and {{ in_last_days(90) }}
),

regions as (
    select region
    from purchases
    group by region
    having count(distinct user_id) >= {{ least_buyers }}
),

scored as (
    select
        purchases.region,
        purchases.item_id,
        cast(sum(purchases.weight) as double) as score
    from purchases
    inner join regions on purchases.region = regions.region
    inner join {{ ref('item_features') }} as items on purchases.item_id = items.item_id
    where items.is_active
    group by purchases.region, purchases.item_id
    having count(distinct purchases.user_id) >= {{ least_buyers_of_item }}
),

ranked as (
    select
        region,
        item_id,
        score,
        row_number() over (partition by region order by score desc, item_id asc) as rank
    from scored
    qualify rank <= {{ longest }}
)

select * from ranked
order by region, rank

{% set days_before = 30 %}
{% set days_fresh = 14 %}
{% set least_drop = 0.05 %}

-- A version that says the same price again begins nothing.
with versions as (
    select
        item_id,
        price,
        valid_from,
        valid_until
    from {{ ref('stg_item_prices') }}
    qualify (price, valid_from) is distinct from (
        lag(price) over (partition by item_id order by valid_from),
        lag(valid_until) over (partition by item_id order by valid_from)
    )
),

prices as (
    select
        item_id,
        price,
        valid_from,
        lead(valid_from) over (partition by item_id order by valid_from) as valid_until
    from versions
),

current_prices as (
    select
        item_id,
        price,
        valid_from as dropped_on
    from prices
    where valid_until is null and valid_from > {{ shop_day() }} - {{ days_fresh }}
),

-- The lowest price of the 30 days before the drop, as EU Directive 2019/2161 asks of an announced reduction.
compared as (
    select
        current_prices.item_id,
        current_prices.price,
        current_prices.dropped_on,
        min(prices.price) as price_before
    from current_prices
    inner join prices on current_prices.item_id = prices.item_id
    where
        prices.valid_from < current_prices.dropped_on
        and prices.valid_until > current_prices.dropped_on - {{ days_before }}
    group by current_prices.item_id, current_prices.price, current_prices.dropped_on
),

dropped as (
    select
        compared.item_id,
        cast(compared.price as double) as price,
        cast(compared.price_before as double) as price_before,
        compared.dropped_on,
        1 - cast(compared.price as double) / cast(compared.price_before as double) as price_drop
    from compared
    inner join {{ ref('item_features') }} as items on compared.item_id = items.item_id
    where
        items.is_active
        -- Else what it costs now is not known: the last version is in another currency, or has no price.
        and items.price = cast(compared.price as double)
        and compared.price > 0
        and compared.price < {{ 1 - least_drop }} * compared.price_before
)

select * from dropped
order by item_id

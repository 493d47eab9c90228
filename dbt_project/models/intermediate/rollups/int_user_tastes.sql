with item_days as (
    select
        item_days.user_id,
        item_days.event_date,
        item_days.event_type,
        item_days.pieces,
        item_days.amount,
        items.category,
        items.brand,
        item_days.actions * {{ action_weight() }} as weight
    from {{ ref('int_user_item_days') }} as item_days
    inner join {{ ref('int_personalizable_users') }} as users on item_days.user_id = users.user_id
    left join {{ ref('item_features') }} as items on item_days.item_id = items.item_id
    where {{ known_as_of() }}
),

last_year as (
    select * from item_days
    where {{ in_last_days(365) }}
),

categories as (
    {{ top_value('last_year', 'category', 'weight') }}
),

brands as (
    {{ top_value('last_year', 'brand', 'weight') }}
),

-- One vote per item and day bought; rounded as prices are, so that a price on a tercile stays on it.
paid as (
    select
        user_id,
        quantile_disc(cast(amount / pieces as decimal(18, 4)), 0.5) as median_price
    from item_days
    where event_type = 'purchase' and amount is not null and pieces > 0
    group by user_id
),

joined as (
    select
        users.user_id,
        categories.category as favorite_category,
        brands.brand as favorite_brand,
        {{ price_band('paid.median_price') }} as price_band
    from {{ ref('int_personalizable_users') }} as users
    left join categories on users.user_id = categories.user_id
    left join brands on users.user_id = brands.user_id
    left join paid on users.user_id = paid.user_id
    cross join {{ ref('int_price_terciles') }} as terciles
)

select * from joined

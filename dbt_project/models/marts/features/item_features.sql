with items as (
    select
        item_id,
        description,
        stock,
        created_at,
        first_arrived_on,
        {{ tidied('title') }} as title,
        {{ tidied('category_path') }} as category_path,
        {{ tidied("split_part(category_path, '>', 1)") }} as category,
        {{ tidied('brand') }} as brand,
        case when coalesce(currency, '{{ var("currency") }}') = '{{ var("currency") }}' then price end as price,
        {{ is_on_sale() }} as is_active
    from {{ ref('stg_items') }}
),

written as (
    select
        *,
        concat_ws('. ', title, brand, category_path, {{ tidied('description') }}) as item_text
    from items
),

joined as (
    select
        items.item_id,
        coalesce(items.title, items.item_id) as title,
        items.category_path,
        items.category,
        items.brand,
        cast(items.price as double) as price,
        {{ price_band('items.price') }} as price_band,
        items.stock,
        items.is_active,
        -- A file without a day in its name counts as arrived in 1970: it says nothing of when the item was new.
        coalesce(
            cast(items.created_at as date),
            nullif(items.first_arrived_on, date '1970-01-01'),
            activity.first_acted_on
        ) as created_on,
        items.item_text,
        sha256(items.item_text) as text_hash,
        cast(coalesce(activity.views_7d, 0) as bigint) as views_7d,
        cast(coalesce(activity.views_30d, 0) as bigint) as views_30d,
        cast(coalesce(activity.purchases_7d, 0) as bigint) as purchases_7d,
        cast(coalesce(activity.purchases_30d, 0) as bigint) as purchases_30d,
        cast(coalesce(activity.purchases_90d, 0) as bigint) as purchases_90d,
        cast(coalesce(activity.purchases_365d, 0) as bigint) as purchases_365d,
        cast(coalesce(activity.buyers_90d, 0) as bigint) as buyers_90d,
        case
            when activity.pieces_bought > 0
                then cast(coalesce(activity.pieces_returned, 0) as double) / cast(activity.pieces_bought as double)
        end as return_rate,
        cast(coalesce(activity.popularity, 0) as double) as popularity,
        coalesce(activity.actions_total, 0) < 5 as is_cold_start
    from written as items
    left join {{ ref('int_item_activity') }} as activity on items.item_id = activity.item_id
    cross join {{ ref('int_price_terciles') }} as terciles
)

select * from joined
order by item_id

-- Nobody is shown what cannot be bought, nor the same item twice.
{{ config(tags=['published']) }}

with shown as (
    select
        user_id as list_of,
        item_id
    from {{ ref('home_recommendations') }}
    where surface = 'home'
    union all
    select
        item_id as list_of,
        similar_item_id as item_id
    from {{ ref('similar_items') }}
)

select
    shown.list_of,
    shown.item_id
from shown
left join {{ ref('item_features') }} as items on shown.item_id = items.item_id
group by shown.list_of, shown.item_id
having count(*) > 1 or not coalesce(bool_and(items.is_active), false)

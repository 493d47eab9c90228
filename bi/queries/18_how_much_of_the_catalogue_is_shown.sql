-- How much of the catalogue do the lists show? · 推荐覆盖了多少商品？
-- Items on sale, by category: how many stand in anybody's list, new ones apart.
-- Returns: category, items, items_shown, share_shown, new_items, new_items_shown
with shown as (
    select distinct item_id
    from home_recommendations
)

select
    i.category,
    count(*) as items,
    count(r.item_id) as items_shown,
    cast(count(r.item_id) * 1.0 / count(*) as decimal(8, 4)) as share_shown,
    count(case when i.is_cold_start then 1 end) as new_items,
    count(case when i.is_cold_start then r.item_id end) as new_items_shown
from item_portraits as i
left join shown as r on i.item_id = r.item_id
where i.is_active
group by i.category
order by items desc, i.category asc

-- Which popular items does nobody see? · 哪些热门商品没有人看到？
-- On sale, in nobody's list; most popular first.
-- Empty: the lists show everything.
-- Returns: item_id, title, category, brand, popularity_rank, purchases_30d, is_cold_start
select
    i.item_id,
    i.title,
    i.category,
    i.brand,
    i.popularity_rank,
    i.purchases_30d,
    i.is_cold_start
from item_portraits as i
left join home_recommendations as r on i.item_id = r.item_id
where i.is_active and r.item_id is null
order by i.popularity_rank, i.item_id
limit 50

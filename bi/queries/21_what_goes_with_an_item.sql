-- What goes with an item? · 什么商品与它搭配？
-- The five likest items of each of the ten most popular ones that have any.
-- Returns: item, rank, goes_with, score, reason_code
with popular as (
    select
        i.item_id,
        i.title
    from item_portraits as i
    where i.item_id in (select s.item_id from similar_items as s)
    order by i.popularity_rank, i.item_id
    limit 10
)

select
    p.title as item,
    s.rank,
    i.title as goes_with,
    cast(s.score as decimal(12, 4)) as score,
    s.reason_code
from popular as p
inner join similar_items as s on p.item_id = s.item_id
inner join item_portraits as i on s.similar_item_id = i.item_id
where s.rank <= 5
order by p.title, p.item_id, s.rank

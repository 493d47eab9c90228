-- What is hot, for everyone and in each segment? · 各人群的热门商品是什么？
-- The list for a user without a portrait, and for one who did not consent, is that of segment all.
-- Returns: segment, rank, item_id, title, score
select
    h.segment,
    h.rank,
    h.item_id,
    i.title,
    cast(h.score as decimal(12, 2)) as score
from hot_items as h
inner join item_portraits as i on h.item_id = i.item_id
where h.rank <= 5
order by h.segment, h.rank

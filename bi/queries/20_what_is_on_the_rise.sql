-- Which items are on the rise, and who buys them? · 哪些商品在升温，谁在买？
-- trend 2 means: bought twice as often a day in the last week as in the three weeks before.
-- Returns: item_id, title, category, trend, purchases_30d, conversion, return_rate, buyers, buyers_zh
select
    i.item_id,
    i.title,
    i.category,
    cast(i.trend as decimal(8, 2)) as trend,
    i.purchases_30d,
    cast(i.conversion as decimal(8, 4)) as conversion,
    cast(i.return_rate as decimal(8, 4)) as return_rate,
    s.name as buyers,
    s.name_zh as buyers_zh
from item_portraits as i
left join taste_segments as s on i.buyer_segment = s.taste_segment
where i.is_active and i.trend is not null and i.purchases_30d >= 5
order by i.trend desc, i.item_id asc
limit 30

-- Which items do rules keep out most? · 哪些商品最常被规则移除？
-- Empty: no rule removed anything.
-- Returns: item_id, title, rule, users, best_rank_before
select
    f.item_id,
    i.title,
    f.rule,
    count(distinct f.user_id) as users,
    min(f.rank_before) as best_rank_before
from recommendation_filters as f
inner join item_portraits as i on f.item_id = i.item_id
where f.action = 'removed'
group by f.item_id, i.title, f.rule
order by users desc, f.item_id asc, f.rule asc
limit 50

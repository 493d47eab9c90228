-- What was filtered, moved or put in, and why? · 哪些商品被过滤、移动或加入，为什么？
-- By rule and action; example is one row's own words.
-- Empty: no rule had anything to do.
-- Returns: rule, action, times, users, items, average_places_moved, example
select
    rule,
    action,
    count(*) as times,
    count(distinct user_id) as users,
    count(distinct item_id) as items,
    cast(avg(abs(rank_after - rank_before)) as decimal(8, 1)) as average_places_moved,
    min(detail) as example
from recommendation_filters
group by rule, action
order by times desc, rule asc, action asc

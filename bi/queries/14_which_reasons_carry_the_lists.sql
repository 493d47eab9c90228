-- Which reasons carry recommendations? · 推荐主要靠哪些理由？
-- expected_purchases adds the chances up: places alone say how often a reason is shown, not what it is worth.
-- Returns: candidate_source, reason_code, places, share, users, items, average_probability, expected_purchases
select
    candidate_source,
    reason_code,
    count(*) as places,
    cast(count(*) * 1.0 / sum(count(*)) over () as decimal(8, 4)) as share,
    count(distinct user_id) as users,
    count(distinct item_id) as items,
    cast(avg(probability) as decimal(8, 4)) as average_probability,
    cast(sum(probability) as decimal(12, 1)) as expected_purchases
from home_recommendations
group by candidate_source, reason_code
order by expected_purchases desc, candidate_source asc, reason_code asc

-- What does exploration show, and with what chance? · 探索位展示了什么？
-- Rows drawn at random, with the chance they were drawn with: weigh later clicks by 1 / propensity.
-- Empty: exploration_slots is 0.
-- Returns: category, places, users, items, average_propensity, average_rank
select
    i.category,
    count(*) as places,
    count(distinct r.user_id) as users,
    count(distinct r.item_id) as items,
    cast(avg(r.propensity) as decimal(8, 4)) as average_propensity,
    cast(avg(r.rank) as decimal(8, 1)) as average_rank
from home_recommendations as r
inner join item_portraits as i on r.item_id = i.item_id
where r.is_exploration
group by i.category
order by places desc, i.category asc

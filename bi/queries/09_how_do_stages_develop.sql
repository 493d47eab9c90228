-- How do lifecycle stages develop? · 生命周期阶段如何变化？
-- Users of each stage on each day published.
-- Returns: as_of_date, lifecycle_stage, users, share
select
    as_of_date,
    lifecycle_stage,
    count(*) as users,
    cast(count(*) * 1.0 / sum(count(*)) over (partition by as_of_date) as decimal(8, 4)) as share
from user_portraits_history
group by as_of_date, lifecycle_stage
order by as_of_date desc, users desc, lifecycle_stage asc

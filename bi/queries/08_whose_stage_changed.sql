-- Whose lifecycle stage changed since the day before? · 谁的生命周期阶段变了？
-- The two latest days published; users who are new to the tables have no stage before.
-- Empty: one day only was published, or nobody changed.
-- Returns: user_id, stage_before, stage_now, as_of_date, amount_spent_90d
with days as (
    select
        as_of_date,
        row_number() over (order by as_of_date desc) as place
    from user_portraits_history
    group by as_of_date
),

stages as (
    select
        h.user_id,
        h.as_of_date,
        h.lifecycle_stage,
        h.amount_spent_90d,
        d.place
    from user_portraits_history as h
    inner join days as d on h.as_of_date = d.as_of_date
    where d.place <= 2
)

select
    n.user_id,
    b.lifecycle_stage as stage_before,
    n.lifecycle_stage as stage_now,
    n.as_of_date,
    n.amount_spent_90d
from stages as n
inner join stages as b on n.user_id = b.user_id and b.place = 2
where n.place = 1 and n.lifecycle_stage <> b.lifecycle_stage
order by n.amount_spent_90d desc, n.user_id asc

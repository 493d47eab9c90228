-- How does coverage develop? · 覆盖如何变化？
-- By day: users with a portrait, how many of them are cold starts, and how much evidence portraits rest on.
-- Returns: as_of_date, users, cold_start_share, average_confidence, published_rows
select
    h.as_of_date,
    count(*) as users,
    cast(avg(case when h.is_cold_start then 1.0 else 0.0 end) as decimal(8, 4)) as cold_start_share,
    cast(avg(h.confidence) as decimal(8, 4)) as average_confidence,
    max(r.published_rows) as published_rows
from user_portraits_history as h
inner join pipeline_runs as r on h.run_id = r.run_id
group by h.as_of_date
order by h.as_of_date desc

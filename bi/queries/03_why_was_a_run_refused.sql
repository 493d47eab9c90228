-- Why was a run refused? · 运行为什么被拒绝发布？
-- One row a check that stopped a run, newest run first.
-- Empty: no run was refused by a check.
-- Returns: as_of_date, run_id, table_name, check_name, observed, threshold, decision
select
    c.as_of_date,
    c.run_id,
    c.table_name,
    c.check_name,
    c.observed,
    c.threshold,
    r.decision
from refused_checks as c
inner join pipeline_runs as r on c.run_id = r.run_id
order by r.ended_at desc, c.table_name asc, c.check_name asc

-- Is today's data there? · 今天的数据在吗？
-- One row, always: which day the tables stand for, how old it is, and how the last run ended.
-- is_refused_since: a run was refused after the tables that you are reading were put in place.
-- Returns: as_of_date, days_old, is_fresh, published_at, last_run_as_of_date, last_run_status, last_run_decision, is_refused_since, last_refused_decision
select
    as_of_date,
    days_old,
    is_fresh,
    published_at,
    last_run_as_of_date,
    last_run_status,
    last_run_decision,
    is_refused_since,
    last_refused_decision
from data_freshness

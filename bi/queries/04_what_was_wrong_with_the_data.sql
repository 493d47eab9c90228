-- What was wrong with the data? · 数据有什么问题？
-- Checks of the run in place that did not pass: a warning is published, and told here.
-- Empty: every check passed.
-- Returns: stage, table_name, check_name, status, observed, threshold, rows_checked
select
    stage,
    table_name,
    check_name,
    status,
    observed,
    threshold,
    rows_checked
from data_quality_results
where status <> 'passed'
order by severity, table_name, check_name

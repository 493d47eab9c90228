-- Which checks are not what they were? · 哪些检查与以往不同？
-- Checks that did not pass on the last day published, and on how many of the days before they did not either.
-- Empty: every check of that day passed.
-- Returns: table_name, check_name, status, observed, days_before, days_not_passed_before
with last_day as (select max(as_of_date) as as_of_date from data_quality_results_history)

select
    h.table_name,
    h.check_name,
    max(case when h.as_of_date = l.as_of_date then h.status end) as status,
    max(case when h.as_of_date = l.as_of_date then h.observed end) as observed,
    count(distinct case when h.as_of_date < l.as_of_date then h.as_of_date end) as days_before,
    count(distinct case when h.as_of_date < l.as_of_date and h.status <> 'passed' then h.as_of_date end)
        as days_not_passed_before
from data_quality_results_history as h
cross join last_day as l
group by h.table_name, h.check_name
having max(case when h.as_of_date = l.as_of_date and h.status <> 'passed' then 1 else 0 end) = 1
order by days_not_passed_before, h.table_name, h.check_name

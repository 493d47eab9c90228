-- How did the last runs end? · 最近的运行结果如何？
-- The run that ended last comes first. is_latest marks the run whose tables you are reading.
-- Returns: as_of_date, status, is_latest, published_at, rows_in, quarantined_share, published_rows, decision
select
    as_of_date,
    status,
    is_latest,
    published_at,
    rows_in,
    cast(rows_quarantined * 1.0 / nullif(rows_in, 0) as decimal(8, 4)) as quarantined_share,
    published_rows,
    decision
from pipeline_runs
order by ended_at desc, run_id asc
limit 20

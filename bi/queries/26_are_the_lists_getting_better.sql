-- Are the lists getting better? · 推荐效果在变好吗？
-- By day, on purchases that the model had not seen; popularity's figure of the same day beside it, as weeks differ.
-- model_version says from when on another model made the lists.
-- Returns: as_of_date, metric, k, value, value_low, value_high, baseline_value, times_baseline, users, model_version
select
    as_of_date,
    metric,
    k,
    cast(value as decimal(8, 4)) as value,
    cast(value_low as decimal(8, 4)) as value_low,
    cast(value_high as decimal(8, 4)) as value_high,
    cast(baseline_value as decimal(8, 4)) as baseline_value,
    cast(value / nullif(baseline_value, 0) as decimal(12, 2)) as times_baseline,
    users,
    model_version
from model_metrics_history
where protocol in ('days_after', 'held_out') and segment = 'all'
order by as_of_date desc, metric asc, k asc

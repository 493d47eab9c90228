-- Are the lists getting better? · 推荐效果在变好吗？
-- By day, on purchases that the model had not seen; popularity's figure of the same day beside it, as weeks differ.
-- protocol: days_after looks at the published lists and the week after them, held_out at the week before, for days that have no
-- later ones yet; compare like with like. model_version says from when on another model made the lists.
-- Returns: as_of_date, protocol, model, metric, k, value, value_low, value_high, baseline_value, times_baseline, users, model_version
select
    as_of_date,
    protocol,
    model,
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
order by as_of_date desc, protocol asc, model asc, metric asc, k asc

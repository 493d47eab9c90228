-- Are the lists any good? · 推荐效果如何？
-- Beside popularity, on purchases that the model had not seen.
-- is_surely_better: even the lower end of the 95% interval beats it.
-- Returns: metric, k, segment, value, value_low, value_high, baseline_value, times_baseline, is_surely_better, users, protocol
select
    metric,
    k,
    segment,
    cast(value as decimal(8, 4)) as value,
    cast(value_low as decimal(8, 4)) as value_low,
    cast(value_high as decimal(8, 4)) as value_high,
    cast(baseline_value as decimal(8, 4)) as baseline_value,
    cast(value / nullif(baseline_value, 0) as decimal(12, 2)) as times_baseline,
    value_low > baseline_value as is_surely_better,
    users,
    protocol
from model_metrics
where protocol in ('days_after', 'held_out')
order by metric, k, case when segment = 'all' then 0 else 1 end, segment

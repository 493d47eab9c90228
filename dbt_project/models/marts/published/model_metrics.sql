select
    model,
    segment,
    metric,
    cast(k as bigint) as k,
    cast(value as double) as value,
    cast(value_low as double) as value_low,
    cast(value_high as double) as value_high,
    baseline_model,
    cast(baseline_value as double) as baseline_value,
    cast(champion_value as double) as champion_value,
    cast(users as bigint) as users,
    protocol,
    cast(measured_from as date) as measured_from,
    cast(measured_to as date) as measured_to,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'model_metrics')) }}
order by protocol, model, segment, metric, k

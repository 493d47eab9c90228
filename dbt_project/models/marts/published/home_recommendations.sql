select
    user_id,
    surface,
    cast(rank as bigint) as rank,
    recommendation_id,
    item_id,
    cast(score as double) as score,
    cast(probability as double) as probability,
    candidate_source,
    reason_code,
    reason_text,
    reason_text_zh,
    evidence_type,
    evidence_id,
    cast(contribution as double) as contribution,
    is_exploration,
    is_promoted,
    cast(propensity as double) as propensity,
    cast(experiment_id as varchar) as experiment_id,
    cast(variant as varchar) as variant,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'home_recommendations')) }}
order by user_id, surface, rank

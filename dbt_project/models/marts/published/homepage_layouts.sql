select
    user_id,
    cast(slot as bigint) as slot,
    module,
    cast(module_rank as bigint) as module_rank,
    cast(rank as bigint) as rank,
    module_title,
    module_title_zh,
    content_type,
    content_id,
    recommendation_id,
    reason_code,
    reason_text,
    reason_text_zh,
    evidence_type,
    evidence_id,
    cast(probability as double) as probability,
    cast(expected_value as double) as expected_value,
    is_exploration,
    cast(propensity as double) as propensity,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'homepage_layouts')) }}
order by user_id, slot

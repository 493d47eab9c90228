select
    recommendation_id,
    kind,
    cast(reason_rank as bigint) as reason_rank,
    reason_code,
    evidence_type,
    evidence_id,
    cast(contribution as double) as contribution,
    scale,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'recommendation_explanations')) }}
order by recommendation_id, kind, reason_rank

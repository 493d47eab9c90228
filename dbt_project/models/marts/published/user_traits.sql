select
    user_id,
    trait,
    subject,
    value,
    cast(strength as double) as strength,
    cast(confidence as double) as confidence,
    source,
    evidence,
    evidence_zh,
    cast(evidence_count as bigint) as evidence_count,
    cast(valid_from_at as timestamp) as valid_from_at,
    cast(valid_to_at as timestamp) as valid_to_at,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'user_traits')) }}
order by user_id, trait, subject

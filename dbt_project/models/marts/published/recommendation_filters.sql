select
    user_id,
    surface,
    item_id,
    rule,
    action,
    cast(rule_id as varchar) as rule_id,
    rule_version,
    cast(rank_before as bigint) as rank_before,
    cast(rank_after as bigint) as rank_after,
    detail,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'recommendation_filters')) }}
order by user_id, surface, item_id, rule

select
    item_id,
    cast(rank as bigint) as rank,
    similar_item_id,
    cast(score as double) as score,
    reason_code,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'similar_items')) }}
order by item_id, rank

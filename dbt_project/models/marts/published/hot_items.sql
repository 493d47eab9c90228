{% do require_features_of_the_day() %}

select
    segment,
    rank,
    item_id,
    score,
    {{ run_columns("'hot-items-rules-1'") }}
from {{ ref('segment_items') }}
order by segment, rank

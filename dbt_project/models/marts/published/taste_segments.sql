select
    taste_segment,
    name,
    name_zh,
    description,
    description_zh,
    cast(users as bigint) as users,
    cast(share as double) as share,
    cast(average_order_value as double) as average_order_value,
    cast(orders_90d as double) as orders_90d,
    top_category,
    cast(top_category_lift as double) as top_category_lift,
    top_brand,
    cast(top_brand_lift as double) as top_brand_lift,
    {{ run_columns('model_version') }}
from {{ output_rows(source('outputs', 'taste_segments')) }}
order by taste_segment

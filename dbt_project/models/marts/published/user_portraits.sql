{% do require_features_of_the_day() %}

select
    user_id,
    lifecycle_stage,
    segment,
    days_since_last_purchase,
    orders_7d,
    orders_30d,
    orders_90d,
    orders_365d,
    amount_spent_7d,
    amount_spent_30d,
    amount_spent_90d,
    amount_spent_365d,
    average_order_value,
    favorite_category,
    favorite_brand,
    price_band,
    active_hour,
    platform,
    language,
    region,
    cast(null as double) as churn_probability,
    cast(null as varchar) as portrait_text,
    confidence,
    is_cold_start,
    {{ run_columns("'portrait-rules-1'") }}
from {{ ref('user_features') }}
order by user_id

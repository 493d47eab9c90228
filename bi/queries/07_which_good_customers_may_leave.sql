-- Which good customers may be leaving? · 哪些好顾客可能流失？
-- At risk or dormant, by what they spent in a year: where winning back is worth most.
-- Empty: nobody is at risk or dormant.
-- Returns: user_id, lifecycle_stage, days_since_last_purchase, average_days_between_orders, amount_spent_365d, favorite_category, portrait_text, portrait_text_zh
select
    user_id,
    lifecycle_stage,
    days_since_last_purchase,
    cast(average_days_between_orders as decimal(8, 1)) as average_days_between_orders,
    amount_spent_365d,
    favorite_category,
    portrait_text,
    portrait_text_zh
from user_portraits
where lifecycle_stage in ('at_risk', 'dormant')
order by amount_spent_365d desc, user_id asc
limit 100

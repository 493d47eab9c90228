-- Which good customers may be leaving? · 哪些好顾客可能流失？
-- At risk or dormant, by what they spent in a year: where winning back is worth most. The stage goes by orders;
-- `confidence_that_gone` goes by visits too: who still comes without buying has little of it.
-- Empty: nobody is at risk or dormant.
-- Returns: user_id, lifecycle_stage, confidence_that_gone, days_since_last_purchase, average_days_between_orders, amount_spent_365d, favorite_category, portrait_text, portrait_text_zh
select
    portraits.user_id,
    portraits.lifecycle_stage,
    cast(traits.confidence as decimal(4, 2)) as confidence_that_gone,
    portraits.days_since_last_purchase,
    cast(portraits.average_days_between_orders as decimal(8, 1)) as average_days_between_orders,
    portraits.amount_spent_365d,
    portraits.favorite_category,
    portraits.portrait_text,
    portraits.portrait_text_zh
from user_portraits as portraits
left join user_traits as traits on portraits.user_id = traits.user_id and traits.trait = 'lifecycle_stage'
where portraits.lifecycle_stage in ('at_risk', 'dormant')
order by portraits.amount_spent_365d desc, portraits.user_id asc
limit 100

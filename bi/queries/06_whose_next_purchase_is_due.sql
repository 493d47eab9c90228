-- Whose next purchase is due this week? · 本周谁该再次购买？
-- By the user's own rhythm: due on the as-of date or in the 7 days after it.
-- Empty: nobody's rhythm makes a purchase due.
-- Returns: user_id, next_purchase_expected_on, average_days_between_orders, days_since_last_purchase, favorite_category, amount_spent_365d
select
    user_id,
    next_purchase_expected_on,
    cast(average_days_between_orders as decimal(8, 1)) as average_days_between_orders,
    days_since_last_purchase,
    favorite_category,
    amount_spent_365d
from user_portraits
where
    next_purchase_expected_on >= as_of_date
    and next_purchase_expected_on <= as_of_date + interval '7 days'
order by next_purchase_expected_on asc, amount_spent_365d desc, user_id asc

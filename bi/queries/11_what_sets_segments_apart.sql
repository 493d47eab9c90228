-- What sets our taste segments apart? · 各偏好人群有什么不同？
-- A lift of 3 means: three times the category's share everywhere.
-- Returns: name, name_zh, users, share, average_order_value, orders_90d, top_category, top_category_lift, top_brand, description
select
    name,
    name_zh,
    users,
    cast(share as decimal(8, 4)) as share,
    cast(average_order_value as decimal(12, 2)) as average_order_value,
    cast(orders_90d as decimal(8, 2)) as orders_90d,
    top_category,
    cast(top_category_lift as decimal(8, 2)) as top_category_lift,
    top_brand,
    description
from taste_segments
order by users desc, taste_segment asc

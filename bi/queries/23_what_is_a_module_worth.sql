-- What is each module of the home page worth? · 首页各模块价值如何？
-- value_per_slot compares modules of different length; place is where the module stands on average, from the top.
-- Returns: module, users, slots, place, expected_value, value_per_slot
select
    module,
    count(distinct user_id) as users,
    count(*) as slots,
    cast(avg(module_rank) as decimal(8, 1)) as place,
    cast(sum(expected_value) as decimal(12, 2)) as expected_value,
    cast(avg(expected_value) as decimal(12, 5)) as value_per_slot
from homepage_layouts
group by module
order by expected_value desc, module asc

"""The queries of the adapter completejourney: from its tables to the feeds' rows, sorted by day."""

from __future__ import annotations

LINES = """
create table lines as
with raw as (
    select
        *,
        row_number() over (partition by basket_id, product_id order by raw_row) as nth,
        timezone('UTC', timezone('America/New_York', transaction_timestamp)) as event_at
    from transactions
)
select
    raw.raw_row,
    basket_id || '-' || raw.product_id || case when nth > 1 then '-' || nth else '' end as event_id,
    event_at,
    event_at::date as event_date,
    transaction_timestamp::date as shop_day,
    household_id as user_id,
    raw.product_id as item_id,
    basket_id,
    store_id,
    quantity,
    sales_value,
    coupon_disc,
    coupon_match_disc,
    department,
    case
        when products.product_id is null then 'unknown_product'
        when product_category is null and product_type is null then 'nameless_product'
        when starts_with(coalesce(product_type, ''), 'GASOLINE') or department = 'FUEL' then 'fuel'
        when list_contains($no_products, product_type) or department = 'COUPON' then 'no_product'
        when quantity <= 0 then 'no_quantity'
        else 'purchase'
    end as kind
from raw
left join products on raw.product_id = products.product_id
"""

# Which purchase a redemption was for: of the household, on that day, with a coupon, of a product it is good for.
REDEEMED = """
create table redeemed as
select redemptions.raw_row, redemptions.campaign_id, lines.event_id
from redemptions
inner join lines on
    redemptions.household_id = lines.user_id
    and redemptions.redemption_date = lines.shop_day
    and lines.kind = 'purchase'
    and lines.coupon_disc > 0
semi join coupons on
    coupons.coupon_upc = redemptions.coupon_upc
    and coupons.campaign_id = redemptions.campaign_id
    and coupons.product_id = lines.item_id
"""

EVENTS = """
select
    event_id,
    timezone('UTC', event_at) as event_at,
    user_id,
    'purchase' as event_type,
    item_id,
    through.campaign_id,
    basket_id as session_id,
    quantity::decimal(18, 3) as quantity,
    round(greatest(sales_value - coupon_disc, 0) / quantity, 4)::decimal(18, 4) as unit_price,
    'USD' as currency,
    'store ' || store_id as region,
    event_date
from lines
left join (select event_id, min(campaign_id) as campaign_id from redeemed group by event_id) as through
    using (event_id)
where kind = 'purchase'
order by event_date, lines.event_at, lines.raw_row
"""

# An item's price on each day of a sale; rows that repeat the price before are left out. A sale whose price is 0
# (the second of "buy one, get one") tells no price.
ITEMS = """
with sales as (
    select
        item_id, event_date, event_at, raw_row, department,
        nullif(round((sales_value + coupon_match_disc) / quantity, 4), 0) as price
    from lines
    where kind = 'purchase'
),
so_far as (
    select
        *,
        median(price) over (
            partition by item_id order by event_at, raw_row rows between unbounded preceding and current row
        ) as median_price
    from sales
),
days as (
    select
        item_id,
        event_date,
        case
            when list_contains($fresh, any_value(department)) then arg_max(median_price, (event_at, raw_row))
            else arg_max(price, (event_at, raw_row))
        end as day_price
    from so_far
    group by item_id, event_date
),
states as (
    select
        item_id,
        event_date,
        last_value(round(day_price, 4)::decimal(18, 4) ignore nulls) over (
            partition by item_id order by event_date rows between unbounded preceding and current row
        ) as price
    from days
)
select item_id, title, category_path, maker as brand, price, 'USD' as currency, event_date
from states
inner join names using (item_id)
qualify price is distinct from lag(price, 1, -1::decimal(18, 4)) over (partition by item_id order by event_date)
order by event_date, item_id
"""

USERS = """
select user_id, 'en' as language, min(day) as day
from (
    select user_id, event_date as day from lines where kind = 'purchase'
    union all
    select household_id, start_date from contacts inner join descriptions using (campaign_id)
)
group by user_id
order by day, user_id
"""

CAMPAIGNS = """
with covered as (
    select campaign_id, string_agg(product_id, '|' order by product_id) as item_ids, count(*) as items
    from (select distinct campaign_id, product_id from coupons)
    semi join (select item_id from lines where kind = 'purchase') as sold on product_id = sold.item_id
    group by campaign_id
)
select
    campaign_id,
    'Coupons, campaign ' || campaign_id || ' (' || campaign_type || ')' as name,
    start_date as starts_on,
    end_date as ends_on,
    -- What the data set's documentation says of the types.
    case campaign_type
        when 'Type A' then 'Each household gets 16 coupons, picked by what it bought before, out of those for '
        else 'Every household gets all coupons, for '
    end || coalesce(items, 0) || ' products.' as description,
    'coupon' as campaign_type,
    item_ids,
    start_date as day
from descriptions
left join covered using (campaign_id)
order by day, campaign_id
"""

CONTACTS = """
select
    campaign_id,
    household_id as user_id,
    timezone('America/New_York', start_date + interval 12 hour) as contacted_at,
    start_date as day
from contacts
inner join descriptions using (campaign_id)
order by day, campaign_id, user_id
"""

SET_ASIDE = """
select
    kind as reason, raw_row + 1 as row_number, event_id, timezone('UTC', event_at) as event_at, user_id, item_id,
    quantity, sales_value, coupon_disc, coupon_match_disc
from lines
where kind <> 'purchase'
order by raw_row
"""

REDEMPTIONS_SET_ASIDE = """
select
    'no_line' as reason, raw_row + 1 as row_number,
    household_id as user_id, coupon_upc, campaign_id, redemption_date
from redemptions
anti join redeemed using (raw_row)
order by raw_row
"""

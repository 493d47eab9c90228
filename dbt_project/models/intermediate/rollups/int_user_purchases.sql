-- An order's lines may arrive on several days, so orders are counted here, by id, not summed from days.
with order_days as (
    select order_days.*
    from {{ ref('int_user_order_days') }} as order_days
    inner join {{ ref('int_personalizable_users') }} as users on order_days.user_id = users.user_id
    where {{ known_as_of() }}
),

rolled_up as (
    select
        user_id,
        min(event_date) filter (where order_id is not null) as first_purchase_on,
        max(event_date) filter (where order_id is not null) as last_purchase_on,
        {% for days in [7, 30, 90, 365] %}
            count(distinct order_id) filter (where {{ in_last_days(days) }}) as orders_{{ days }}d,
            coalesce(
                sum(bought_amount - returned_amount) filter (where {{ in_last_days(days) }}), 0
            ) as amount_spent_{{ days }}d,
        {% endfor %}
        count(distinct order_id) as orders_total,
        sum(bought_amount - returned_amount) as amount_spent_total,
        sum(bought_amount) as amount_bought_total
    from order_days
    group by user_id
)

select * from rolled_up

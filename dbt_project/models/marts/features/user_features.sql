with joined as (
    select
        users.user_id,
        users.registered_on,
        users.language,
        coalesce(users.region, activity.region) as region,
        activity.first_seen_on,
        activity.last_seen_on,
        {{ as_of_date() }} - purchases.last_purchase_on as days_since_last_purchase,
        {% for days in [7, 30, 90, 365] %}
            coalesce(purchases.orders_{{ days }}d, 0) as orders_{{ days }}d,
        {% endfor %}
        {% for days in [7, 30, 90, 365] %}
            cast(coalesce(purchases.amount_spent_{{ days }}d, 0) as double) as amount_spent_{{ days }}d,
        {% endfor %}
        coalesce(purchases.orders_total, 0) as orders_total,
        cast(coalesce(purchases.amount_spent_total, 0) as double) as amount_spent_total,
        case
            when purchases.orders_total > 0
                then cast(purchases.amount_bought_total as double) / purchases.orders_total
        end as average_order_value,
        coalesce(activity.actions_90d, 0) as actions_90d,
        tastes.favorite_category,
        tastes.favorite_brand,
        tastes.price_band,
        activity.active_hour,
        activity.platform,
        segments.lifecycle_stage,
        segments.segment,
        1 - exp(-coalesce(activity.actions_total, 0) / 20) as confidence,
        coalesce(activity.actions_total, 0) < 3 as is_cold_start
    from {{ ref('int_personalizable_users') }} as users
    inner join {{ ref('int_user_segments') }} as segments on users.user_id = segments.user_id
    inner join {{ ref('int_user_tastes') }} as tastes on users.user_id = tastes.user_id
    left join {{ ref('int_user_activity') }} as activity on users.user_id = activity.user_id
    left join {{ ref('int_user_purchases') }} as purchases on users.user_id = purchases.user_id
)

select * from joined
order by user_id

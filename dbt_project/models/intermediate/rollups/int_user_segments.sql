-- The rules, in words, stand in int_user_segments.yml: change both.
with measured as (
    select
        users.user_id,
        rhythm.rhythm_days,
        coalesce(activity.actions_90d, 0) as actions_90d,
        activity.user_id is null as is_unseen,
        coalesce(purchases.orders_total, 0) as orders_total,
        {{ shop_day() }} - purchases.last_purchase_on as days_since_last_purchase,
        {{ shop_day() }} - purchases.first_purchase_on as days_since_first_purchase,
        {{ shop_day() }} - coalesce(users.registered_on, activity.first_seen_on) as days_known,
        coalesce(purchases.amount_spent_365d >= rhythm.big_spender_from, false) as is_big_spender
    from {{ ref('int_personalizable_users') }} as users
    left join {{ ref('int_user_activity') }} as activity on users.user_id = activity.user_id
    left join {{ ref('int_user_purchases') }} as purchases on users.user_id = purchases.user_id
    cross join {{ ref('int_purchase_rhythm') }} as rhythm
),

staged as (
    select
        *,
        case
            when orders_total = 0 then 'visitor'
            when orders_total >= 4 and days_since_last_purchase <= 3 * rhythm_days then 'loyal'
            when days_since_first_purchase <= 30 then 'new'
            when days_since_last_purchase <= 3 * rhythm_days then 'active'
            when days_since_last_purchase <= 6 * rhythm_days then 'at_risk'
            else 'dormant'
        end as lifecycle_stage
    from measured
),

segmented as (
    select
        user_id,
        lifecycle_stage,
        case
            when lifecycle_stage = 'visitor' and coalesce(days_known, 0) <= 30 then 'newcomers'
            when lifecycle_stage = 'visitor' and is_unseen then 'not_seen_yet'
            when lifecycle_stage = 'visitor' and actions_90d > 0 then 'window_shoppers'
            when lifecycle_stage in ('visitor', 'dormant') then 'lost'
            when lifecycle_stage = 'at_risk' then 'at_risk'
            when lifecycle_stage = 'loyal' and is_big_spender then 'champions'
            when lifecycle_stage = 'loyal' then 'loyal'
            when is_big_spender then 'big_spenders'
            when lifecycle_stage = 'new' then 'new_buyers'
            else 'promising'
        end as segment
    from staged
)

select * from segmented

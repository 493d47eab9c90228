with purchase_days as (
    select distinct
        order_days.user_id,
        order_days.event_date
    from {{ ref('int_user_order_days') }} as order_days
    inner join {{ ref('int_personalizable_users') }} as users on order_days.user_id = users.user_id
    where order_days.order_id is not null and {{ known_as_of() }}
),

gaps as (
    select event_date - lag(event_date) over (partition by user_id order by event_date) as gap_days
    from purchase_days
),

-- 30 days until 20 repeated purchases have been seen; never below a week nor above two months, so that a strange
-- month cannot turn the whole shop into lost users.
rhythm as (
    select
        case
            when count(gap_days) < 20 then 30
            else least(greatest(quantile_disc(gap_days, 0.5), 7), 60)
        end as rhythm_days
    from gaps
),

spending as (
    select quantile_disc(amount_spent_365d, 0.8) as big_spender_from
    from {{ ref('int_user_purchases') }}
    where amount_spent_365d > 0
),

combined as (
    select
        cast(rhythm.rhythm_days as bigint) as rhythm_days,
        spending.big_spender_from
    from rhythm
    cross join spending
)

select * from combined

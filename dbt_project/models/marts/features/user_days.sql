with days as (
    select
        user_days.user_id,
        user_days.event_date,
        user_days.local_date,
        user_days.event_hour,
        user_days.actions,
        coalesce(user_days.platform, 'unknown') as platform
    from {{ ref('int_user_days') }} as user_days
    inner join {{ ref('int_personalizable_users') }} as users on user_days.user_id = users.user_id
    where {{ known_as_of() }} and {{ in_last_days(365) }}
),

summed as (
    select
        user_id,
        event_date,
        local_date,
        cast(event_hour as bigint) as event_hour,
        platform,
        cast(sum(actions) as bigint) as actions
    from days
    group by user_id, event_date, local_date, event_hour, platform
)

select * from summed
order by user_id, event_date, local_date, event_hour, platform

with days as (
    select user_days.*
    from {{ ref('int_user_days') }} as user_days
    inner join {{ ref('int_personalizable_users') }} as users on user_days.user_id = users.user_id
    where {{ known_as_of() }}
),

totals as (
    select
        user_id,
        min(event_date) as first_seen_on,
        max(event_date) as last_seen_on,
        sum(actions) as actions_total,
        coalesce(sum(actions) filter (where {{ in_last_days(90) }}), 0) as actions_90d
    from days
    group by user_id
),

last_year as (
    select * from days
    where {{ in_last_days(365) }}
),

hours as (
    {{ top_value('last_year', 'event_hour', 'actions') }}
),

platforms as (
    {{ top_value('last_year', 'platform', 'actions') }}
),

regions as (
    {{ top_value('last_year', 'region', 'actions') }}
),

joined as (
    select
        totals.user_id,
        totals.first_seen_on,
        totals.last_seen_on,
        cast(totals.actions_total as bigint) as actions_total,
        cast(totals.actions_90d as bigint) as actions_90d,
        hours.event_hour as active_hour,
        platforms.platform,
        regions.region
    from totals
    left join hours on totals.user_id = hours.user_id
    left join platforms on totals.user_id = platforms.user_id
    left join regions on totals.user_id = regions.user_id
)

select * from joined

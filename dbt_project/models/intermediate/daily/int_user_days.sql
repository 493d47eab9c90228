with actions as (
    select * from {{ ref('int_actions') }}
    where user_id is not null and {{ in_changed_partitions() }}
),

counted as (
    select
        user_id,
        event_date,
        arrived_on,
        local_date,
        event_hour,
        platform,
        region,
        {{ partition_version() }} as partition_version,
        count(*) as actions,
        count(*) filter (where event_type = 'return') as return_actions
    from actions
    group by all
)

select * from counted

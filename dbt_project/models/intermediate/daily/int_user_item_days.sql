with actions as (
    select * from {{ ref('int_actions') }}
    where
        user_id is not null
        and item_id is not null
        and event_type <> 'search'
        and {{ in_changed_partitions() }}
),

counted as (
    select
        user_id,
        item_id,
        event_date,
        arrived_on,
        event_type,
        {{ partition_version() }} as partition_version,
        count(*) as actions,
        cast(sum(pieces) as decimal(38, 3)) as pieces,
        sum(amount) as amount
    from actions
    group by all
)

select * from counted

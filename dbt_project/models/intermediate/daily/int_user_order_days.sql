with lines as (
    select * from {{ ref('int_actions') }}
    where
        user_id is not null
        and event_type in ('purchase', 'return')
        and {{ in_changed_partitions() }}
),

summed as (
    select
        user_id,
        order_id,
        event_date,
        arrived_on,
        {{ partition_version() }} as partition_version,
        coalesce(sum(amount) filter (where event_type = 'purchase'), 0) as bought_amount,
        coalesce(sum(amount) filter (where event_type = 'return'), 0) as returned_amount
    from lines
    group by all
)

select * from summed

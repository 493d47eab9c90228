-- A view over the events: nothing is read until a day is asked for.
{{ config(materialized='view') }}

with events as (
    select * from {{ ref('stg_events') }}
    where event_type <> 'impression'
),

partitions as (
    select * from {{ ref('stg_event_partitions') }}
),

priced as (
    select
        events.event_id,
        events.user_id,
        events.item_id,
        events.event_type,
        events.session_id,
        events.platform,
        events.region,
        events.event_at,
        events.event_date,
        events.arrived_on,
        partitions.partition_version,
        timezone('{{ var("time_zone") }}', timezone('UTC', events.event_at)) as local_at,
        cast(local_at as date) as local_date,
        extract(hour from local_at) as event_hour,

        -- An order is one user's purchases in one session; without sessions, in one day.
        case
            when events.event_type = 'purchase'
                then coalesce(events.session_id, cast(events.event_date as varchar))
        end as order_id,

        -- One bought or returned line without a quantity is one piece.
        case
            when events.event_type in ('purchase', 'return') then coalesce(events.quantity, 1)
            else events.quantity
        end as pieces,

        -- Money in another currency is not the shop's money: unknown, not converted.
        case
            when coalesce(events.currency, '{{ var("currency") }}') = '{{ var("currency") }}'
                then cast(pieces as decimal(31, 3)) * cast(events.unit_price as decimal(31, 4))
        end as amount
    from events
    inner join partitions on events.event_date = partitions.event_date
)

select * from priced

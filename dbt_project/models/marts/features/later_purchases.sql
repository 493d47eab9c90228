-- The only model that looks past the as-of date.
with purchases as (
    select * from {{ ref('int_actions') }}
    where
        event_type = 'purchase'
        and item_id is not null
        and event_date > {{ as_of_date() }}
        and event_date <= date '{{ evaluation_end_day() }}'
        and arrived_on <= date '{{ evaluation_end_day() }}'
),

joined as (
    select
        purchases.event_id,
        purchases.user_id,
        purchases.item_id,
        purchases.event_at,
        purchases.event_date
    from purchases
    inner join {{ ref('int_personalizable_users') }} as users on purchases.user_id = users.user_id
)

select * from joined
order by user_id, event_at, event_id

{% set days = 14 %}

-- An impression is answered by a later action of the user on the item, so nothing older than the window is needed.
with events as (
    select
        events.user_id,
        events.item_id,
        events.event_at,
        events.event_date,
        events.event_type = 'impression' as is_impression
    from {{ ref('stg_events') }} as events
    inner join {{ ref('int_personalizable_users') }} as users on events.user_id = users.user_id
    where events.event_type <> 'search' and {{ in_last_days(days) }} and {{ known_as_of() }}
),

answered as (
    select
        user_id,
        item_id,
        max(event_at) as last_acted_at
    from events
    where not is_impression
    group by user_id, item_id
),

counted as (
    select
        events.user_id,
        events.item_id,
        count(*) as impressions_14d,
        max(events.event_date) as last_shown_on
    from events
    inner join {{ ref('item_features') }} as items on events.item_id = items.item_id
    left join answered on events.user_id = answered.user_id and events.item_id = answered.item_id
    where events.is_impression and (answered.last_acted_at is null or events.event_at > answered.last_acted_at)
    group by events.user_id, events.item_id
)

select * from counted
order by user_id, item_id

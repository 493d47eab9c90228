with actions as (
    select * from {{ ref('int_actions') }}
    where event_type <> 'search' and {{ in_last_days(365) }} and {{ known_as_of() }}
),

joined as (
    select
        actions.event_id,
        actions.user_id,
        actions.item_id,
        actions.event_type,
        actions.event_at,
        actions.event_date,
        actions.session_id,
        cast(actions.pieces as double) as quantity,
        cast(actions.amount as double) as amount
    from actions
    inner join {{ ref('int_personalizable_users') }} as users on actions.user_id = users.user_id
    inner join {{ ref('item_features') }} as items on actions.item_id = items.item_id
)

select * from joined
order by user_id, event_at, event_id

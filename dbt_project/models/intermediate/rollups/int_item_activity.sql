-- What machines did is taken out here, as known at the as-of date: a bot found later changes no kept day.
with days as (
    select
        item_id,
        event_date,
        event_type,
        actions,
        pieces
    from {{ ref('int_item_days') }}
    where {{ known_as_of() }}
),

user_days as (
    select
        user_item_days.*,
        bots.user_id is not null as is_bot
    from {{ ref('int_user_item_days') }} as user_item_days
    left join {{ ref('stg_bots') }} as bots on user_item_days.user_id = bots.user_id
    where
        user_item_days.event_date <= {{ as_of_date() }}
        and user_item_days.arrived_on <= {{ as_of_date() }}
),

without_bots as (
    select * from days
    union all
    select
        item_id,
        event_date,
        event_type,
        -actions as actions,
        -pieces as pieces
    from user_days
    where is_bot
),

by_day as (
    select
        item_id,
        event_date,
        event_type,
        sum(actions) as actions,
        sum(pieces) as pieces
    from without_bots
    group by item_id, event_date, event_type
    having sum(actions) > 0
),

buyers as (
    select
        item_id,
        count(distinct user_id) as buyers_90d
    from user_days
    where event_type = 'purchase' and not is_bot and {{ in_last_days(90) }}
    group by item_id
),

rolled_up as (
    select
        item_id,
        min(event_date) as first_acted_on,
        sum(actions) as actions_total,
        {% for days in [7, 30] %}
            sum(actions) filter (where event_type in ('view', 'click') and {{ in_last_days(days) }})
                as views_{{ days }}d,
        {% endfor %}
        {% for days in [7, 30, 90, 365] %}
            sum(actions) filter (where event_type = 'purchase' and {{ in_last_days(days) }}) as purchases_{{ days }}d,
        {% endfor %}
        sum(pieces) filter (where event_type = 'purchase') as pieces_bought,
        sum(pieces) filter (where event_type = 'return') as pieces_returned,
        sum({{ decayed_weight() }}) filter (where {{ in_last_days(90) }}) as popularity
    from by_day
    group by item_id
),

joined as (
    select
        rolled_up.*,
        coalesce(buyers.buyers_90d, 0) as buyers_90d
    from rolled_up
    left join buyers on rolled_up.item_id = buyers.item_id
)

select * from joined

with searches as (
    select
        event_id,
        user_id,
        event_at,
        event_date,
        session_id,
        {{ tidied('query') }} as query,
        coalesce(session_id, cast(event_date as varchar)) as visit
    from {{ ref('stg_events') }}
    where event_type = 'search' and {{ in_last_days(365) }} and {{ known_as_of() }}
),

asked as (
    select searches.* from searches
    inner join {{ ref('int_personalizable_users') }} as users on searches.user_id = users.user_id
    where searches.query is not null
),

-- How strongly an action says that its item was what was looked for.
actions as (
    select
        event_id,
        user_id,
        event_at,
        item_id,
        coalesce(session_id, cast(event_date as varchar)) as visit,
        case event_type
            when 'purchase' then 5
            when 'cart' then 4
            when 'favorite' then 3
            when 'click' then 2
            when 'view' then 1
        end as strength
    from {{ ref('user_actions') }}
),

visits as (
    select distinct
        user_id,
        visit
    from asked
),

-- The searches of a visit and what was done in it; what was done at the very moment of a search came after it.
moments as (
    select
        event_id,
        user_id,
        visit,
        event_at,
        cast(null as varchar) as item_id,
        cast(null as integer) as strength,
        event_id as search_id,
        0 as place
    from asked
    union all
    select
        actions.event_id,
        actions.user_id,
        actions.visit,
        actions.event_at,
        actions.item_id,
        actions.strength,
        cast(null as varchar) as search_id,
        1 as place
    from actions
    inner join visits on actions.user_id = visits.user_id and actions.visit = visits.visit
    where actions.strength is not null
),

-- An action answers the search just before it, and counts for the most that became of its item in the visit. The
-- purchase of what was looked at already is no answer: a basket is paid for after the last search.
answers as (
    select
        item_id,
        event_id,
        event_at,
        strength = 5 and row_number() over (
            partition by user_id, visit, item_id
            order by event_at, place, event_id
        ) > 1 as is_checkout,
        last_value(search_id ignore nulls) over (
            partition by user_id, visit
            order by event_at, place, event_id
            rows between unbounded preceding and current row
        ) as search_id,
        max(strength) over (
            partition by user_id, visit, item_id
            order by event_at, place, event_id
            rows between current row and unbounded following
        ) as strength
    from moments
),

-- The strongest, and of equals the nearest.
chosen as (
    select
        search_id,
        item_id,
        event_at,
        strength
    from answers
    where item_id is not null and search_id is not null and not is_checkout
    qualify row_number() over (
        partition by search_id order by strength desc, event_at asc, event_id asc
    ) = 1
),

joined as (
    select
        asked.event_id,
        asked.user_id,
        asked.query,
        asked.event_at,
        asked.event_date,
        asked.session_id,
        chosen.item_id as chosen_item_id,
        chosen.event_at as chosen_at,
        case chosen.strength
            when 5 then 'purchase'
            when 4 then 'cart'
            when 3 then 'favorite'
            when 2 then 'click'
            when 1 then 'view'
        end as choice
    from asked
    left join chosen on asked.event_id = chosen.search_id
)

select
    event_id,
    user_id,
    query,
    event_at,
    event_date,
    session_id,
    chosen_item_id,
    choice,
    chosen_at
from joined
order by user_id, event_at, event_id

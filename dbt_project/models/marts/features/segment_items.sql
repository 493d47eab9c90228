{% set prior = 100 %}  -- views' worth of everyone's taste that stands beside each segment's own actions
{% set longest = 200 %}

with everyone as (
    select
        item_id,
        popularity as score,
        popularity / cast(sum(cast(popularity as decimal(38, 6))) over () as double) as popularity_share
    from {{ ref('item_features') }}
    where is_active and popularity > 0
),

users as (
    select
        user_id,
        segment
    from {{ ref('user_features') }}
),

segments as (
    select distinct segment from users
),

own as (
    select
        users.segment,
        item_days.item_id,
        sum({{ decayed_weight() }}) as score
    from {{ ref('int_user_item_days') }} as item_days
    inner join users on item_days.user_id = users.user_id
    where {{ known_as_of() }} and {{ in_last_days(90) }}
    group by users.segment, item_days.item_id
),

-- A segment of few users leans on everyone; one of many stands on its own.
scored as (
    select
        'all' as segment,
        item_id,
        score
    from everyone
    union all
    select
        segments.segment,
        everyone.item_id,
        cast(coalesce(own.score, 0) as double) + {{ prior }} * everyone.popularity_share as score
    from segments
    cross join everyone
    left join own on segments.segment = own.segment and everyone.item_id = own.item_id
),

ranked as (
    select
        segment,
        item_id,
        score,
        row_number() over (partition by segment order by score desc, item_id asc) as rank
    from scored
    qualify rank <= {{ longest }}
)

select * from ranked
order by segment, rank

-- Not as-of: the kept aggregates need every arrival, and evaluation the days after. Who reads it applies
-- known_as_of().
with source as (
    select * from {{ lake_rows(source('clean', 'events'), until=evaluation_end_day()) }}
),

typed as (
    select
        -- ids
        event_id,
        user_id,
        item_id,
        campaign_id,
        session_id,
        recommendation_id,

        -- what
        event_type,
        query,
        platform,
        region,

        -- numbers
        cast(quantity as decimal(18, 3)) as quantity,
        cast(unit_price as decimal(18, 4)) as unit_price,
        currency,
        cast(rating as double) as rating,

        -- times
        cast(event_at as timestamp) as event_at,
        cast(event_date as date) as event_date,
        cast(arrived_on as date) as arrived_on
    from source
)

select * from typed

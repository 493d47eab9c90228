{{ config(materialized='table') }}

with source as (
    select * from {{ lake_rows(source('clean', 'users'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

latest as (
    select
        *,
        -- Over all versions so far: a shop that once told of consent cannot untell it by leaving the column out.
        count(has_personalization_consent) over () > 0 as is_consent_kept
    from source
    qualify {{ is_latest_version('user_id') }}
),

typed as (
    select
        -- ids
        user_id,

        -- what
        language,
        region,
        cast(has_personalization_consent as boolean) as has_personalization_consent,
        cast(has_marketing_consent as boolean) as has_marketing_consent,
        is_consent_kept,

        -- times
        cast(registered_at as timestamp) as registered_at,
        cast(arrived_on as date) as arrived_on
    from latest
)

select * from typed

with source as (
    select * from {{ lake_rows(source('clean', 'erasure_requests'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

typed as (
    select
        user_id,
        cast(requested_at as timestamp) as requested_at,
        cast(arrived_on as date) as arrived_on
    from source
    qualify {{ is_latest_version('user_id, requested_at') }}
)

select * from typed

with source as (
    select * from {{ lake_rows(source('clean', 'campaign_contacts'), until=as_of_day()) }}
),

typed as (
    select
        campaign_id,
        user_id,
        channel,
        cast(contacted_at as timestamp) as contacted_at,
        cast(contacted_on as date) as contacted_on,
        cast(arrived_on as date) as arrived_on
    from source
    where contacted_on <= {{ as_of_date() }} and arrived_on <= {{ as_of_date() }}
)

select * from typed

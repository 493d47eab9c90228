with source as (
    select * from {{ lake_rows(source('clean', 'campaigns'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

latest as (
    select *
    from source
    qualify {{ is_latest_version('campaign_id') }}
),

typed as (
    select
        -- ids
        campaign_id,

        -- what
        name,
        description,
        campaign_type,
        channel,
        item_ids,
        category_paths,

        -- times
        cast(starts_on as date) as starts_on,
        cast(ends_on as date) as ends_on,
        cast(arrived_on as date) as arrived_on
    from latest
)

select * from typed

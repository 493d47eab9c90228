-- A table, not a view: versions are sorted once a run, not once a reader.
{{ config(materialized='table') }}

with source as (
    select * from {{ lake_rows(source('clean', 'items'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

latest as (
    select
        *,
        min(arrived_on) over (partition by item_id) as first_arrived_on
    from source
    qualify {{ is_latest_version('item_id') }}
),

typed as (
    select
        -- ids
        item_id,

        -- what
        title,
        description,
        category_path,
        brand,
        image_url,
        cast(is_active as boolean) as is_active,

        -- numbers
        cast(price as decimal(18, 4)) as price,
        currency,
        cast(stock as bigint) as stock,

        -- times
        cast(created_at as timestamp) as created_at,
        cast(arrived_on as date) as arrived_on,
        cast(first_arrived_on as date) as first_arrived_on
    from latest
)

select * from typed

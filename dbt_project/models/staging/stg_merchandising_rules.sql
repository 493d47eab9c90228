with source as (
    select * from {{ lake_rows(source('clean', 'merchandising_rules'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

latest as (
    select *
    from source
    qualify {{ is_latest_version('rule_id') }}
),

typed as (
    select
        -- ids
        rule_id,
        item_id,

        -- what
        action,
        cast(position as bigint) as position,  -- noqa: RF04
        cast(factor as double) as factor,
        {{ tidied('category_path') }} as category_path,
        {{ tidied('brand') }} as brand,
        {{ tidied('surface') }} as surface,

        -- times
        cast(starts_on as date) as starts_on,
        cast(ends_on as date) as ends_on,
        cast(arrived_on as date) as arrived_on
    from latest
)

select * from typed

with rules as (
    select * from {{ ref('stg_merchandising_rules') }}
),

active as (
    select
        rule_id,
        action,
        item_id,
        category_path,
        brand,
        surface,
        position,
        factor,
        starts_on,
        ends_on
    from rules
    where
        coalesce(starts_on, {{ as_of_date() }}) <= {{ as_of_date() }}
        and coalesce(ends_on, {{ as_of_date() }}) >= {{ as_of_date() }}
)

select * from active
order by rule_id

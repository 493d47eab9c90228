-- The day after the as-of date is the one on which a shopper sees what is made from it.
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
        coalesce(starts_on, {{ as_of_date() }} + 1) <= {{ as_of_date() }} + 1
        and coalesce(ends_on, {{ as_of_date() }} + 1) >= {{ as_of_date() }} + 1
)

select * from active
order by rule_id

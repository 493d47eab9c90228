with source as (
    select * from {{ lake_rows(source('clean', 'bots'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

first_found as (
    select
        user_id,
        rule,
        evidence,
        cast(arrived_on as date) as arrived_on
    from source
    qualify row_number() over (partition by user_id order by arrived_on, rule) = 1
)

select * from first_found

with source as (
    select * from {{ lake_rows(source('clean', 'reviews'), until=as_of_day()) }}
),

typed as (
    select
        review_id,
        user_id,
        item_id,
        text,
        cast(rating as double) as rating,
        cast(created_at as timestamp) as created_at,
        cast(created_on as date) as created_on,
        cast(arrived_on as date) as arrived_on
    from source
    where created_on <= {{ as_of_date() }} and arrived_on <= {{ as_of_date() }}
)

select * from typed

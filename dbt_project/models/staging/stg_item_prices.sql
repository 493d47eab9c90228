-- A version stands from the day that it arrived to the next one's. A price in another currency is unknown.
with source as (
    select * from {{ lake_rows(source('clean', 'items'), until=as_of_day()) }}
    where arrived_on <= {{ as_of_date() }}
),

last_of_the_day as (
    select
        item_id,
        cast(arrived_on as date) as valid_from,
        case
            when coalesce(currency, '{{ var("currency") }}') = '{{ var("currency") }}'
                then cast(price as decimal(18, 4))
        end as price
    from source
    qualify row_number() over (partition by item_id, arrived_on order by source_file desc, row_number desc) = 1
),

intervals as (
    select
        item_id,
        price,
        valid_from,
        coalesce(lead(valid_from) over (partition by item_id order by valid_from), date '9999-12-31') as valid_until
    from last_of_the_day
)

select * from intervals
where price is not null

with prices as (
    select price
    from {{ ref('stg_items') }}
    where
        price is not null
        and coalesce(currency, '{{ var("currency") }}') = '{{ var("currency") }}'
        and {{ is_on_sale() }}
),

terciles as (
    select
        quantile_disc(price, 1 / 3) as low_up_to,
        quantile_disc(price, 2 / 3) as mid_up_to
    from prices
)

select * from terciles

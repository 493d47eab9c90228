with reviews as (
    select
        *,
        {{ tidied('text') }} as tidy_text
    from {{ ref('stg_reviews') }}
    where
        user_id is null
        or (
            user_id not in (select bots.user_id from {{ ref('stg_bots') }} as bots)
            and user_id not in (select erased.user_id from {{ ref('stg_erasure_requests') }} as erased)
        )
),

joined as (
    select
        reviews.review_id,
        reviews.item_id,
        users.user_id,
        reviews.created_at,
        reviews.rating,
        reviews.tidy_text as text
    from reviews
    inner join {{ ref('item_features') }} as items on reviews.item_id = items.item_id
    left join {{ ref('int_personalizable_users') }} as users on reviews.user_id = users.user_id
    where reviews.rating is not null or reviews.tidy_text is not null
)

select * from joined
order by item_id, review_id

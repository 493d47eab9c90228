with registered as (
    select * from {{ ref('stg_users') }}
),

-- A shop that never tells of consent has it from everyone; once one user has an answer, no answer is a no.
consent as (
    select coalesce(bool_or(is_consent_kept), false) as is_kept from registered
),

seen as (
    select user_id
    from {{ ref('int_user_days') }}
    where {{ known_as_of() }}
    group by user_id
    having sum(actions) > sum(return_actions)
),

-- Registered or seen.
candidates as (
    select
        cast(registered.registered_at as date) as registered_on,
        registered.language,
        registered.region,
        coalesce(registered.user_id, seen.user_id) as user_id,
        coalesce(registered.has_personalization_consent, false) or not consent.is_kept as has_consent
    from registered
    full outer join seen on registered.user_id = seen.user_id
    cross join consent
),

allowed as (
    select
        user_id,
        registered_on,
        language,
        region
    from candidates
    where
        has_consent
        and user_id not in (select bots.user_id from {{ ref('stg_bots') }} as bots)
        and user_id not in (select erased.user_id from {{ ref('stg_erasure_requests') }} as erased)
)

select * from allowed

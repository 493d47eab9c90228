"""User traits: known ones, within bounds, of users who have a portrait, neither from the future nor faded."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, matches, one_of, pseudonyms, published_suite

_MODEL = "See the report and the log of the portray step, and ml/portraits."
_TRAITS = (
    *("lifecycle_stage", "taste_segment", "category_affinity", "brand_affinity", "price_level", "purchase_rhythm"),
    *("next_purchase", "active_weekday", "active_hour", "platform", "bargain_seeking", "novelty_seeking"),
    *("review_sentiment", "cold_start"),
)

USER_TRAITS = published_suite(
    "user_traits",
    "trait",
    pseudonyms("No trait names a user as the shop does"),
    one_of("Every trait is known", "trait", _TRAITS, _MODEL),
    one_of("Every source is known", "source", ("measured", "model"), _MODEL),
    between("Every confidence of a trait is a share", "confidence", 0, 1, _MODEL),
    between("No trait rests on less than nothing", "evidence_count", 0, None, _MODEL),
    matches("All evidence can be read in English", "evidence", r"[A-Za-z0-9]", "some letter or digit", _MODEL),
    matches(
        "All evidence can be read in Chinese", "evidence_zh", r"[\u4e00-\u9fff]", "some Chinese letter", _MODEL
    ),
    FigureCheck(
        "Every strength is within its trait's bounds",
        from_sql("""
            with judged as (
                select
                    trait,
                    user_id,
                    case
                        when trait in ('lifecycle_stage', 'taste_segment') then strength is null
                        when trait = 'review_sentiment' then strength between -1 and 1
                        when trait = 'purchase_rhythm' then strength > 0
                        when trait = 'next_purchase' then strength is not null
                        else strength between 0 and 1
                    end as is_within
                from published.user_traits
            )
            select count(*) filter (where not coalesce(is_within, false)), count(*),
                min(concat(user_id, ', ', trait)) filter (where not coalesce(is_within, false))
            from judged
        """),
        "rows",
        _MODEL,
        low=0,
        high=0,
        column="strength",
    ),
    FigureCheck(
        "No user's affinities of one kind add up to more than one",
        from_sql("""
            with sums as (
                select user_id, trait, sum(strength) as total
                from published.user_traits
                where trait in ('category_affinity', 'brand_affinity')
                group by user_id, trait
            )
            select count(*) filter (where total > 1.000001), count(*),
                min(concat(user_id, ', ', trait)) filter (where total > 1.000001)
            from sums
        """),
        "users",
        _MODEL,
        low=0,
        high=0,
        column="strength",
    ),
    FigureCheck(
        "No trait rests on what came after the day",
        from_sql("""
            select count(*) filter (where valid_from_at >= as_of_date + interval 1 day), count(*),
                min(concat(user_id, ', ', trait)) filter (where valid_from_at >= as_of_date + interval 1 day)
            from published.user_traits
        """),
        "rows",
        "Stop: the future was read. See dbt_project/models/marts/features, and ml/portraits/evidence.py.",
        low=0,
        high=0,
        column="valid_from_at",
    ),
    FigureCheck(
        "No trait stands that has faded out",
        from_sql("""
            with shop as (
                -- In silence no belief fades: the shop's last day is the last on which anybody acted.
                select max(event_date) as last_day from features.user_actions
            )
            select count(*) filter (where valid_to_at < coalesce(last_day, as_of_date)), count(*),
                min(concat(user_id, ', ', trait)) filter (where valid_to_at < coalesce(last_day, as_of_date))
            from published.user_traits
            cross join shop
        """),
        "rows",
        _MODEL,
        low=0,
        high=0,
        column="valid_to_at",
    ),
    FigureCheck(
        "Every trait is of a user who has a portrait",
        from_sql("""
            with users as (select user_id from published.user_portraits)
            select count(*) filter (where user_id not in (select user_id from users)), count(*),
                min(user_id) filter (where user_id not in (select user_id from users))
            from published.user_traits
        """),
        "rows",
        "Somebody who may not be personalised would be: run features, portray and tables again for this day.",
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "Every user who has a portrait has some trait",
        from_sql("""
            with users as (select distinct user_id from published.user_traits)
            select count(*) filter (where user_id not in (select user_id from users)), count(*),
                min(user_id) filter (where user_id not in (select user_id from users))
            from published.user_portraits
        """),
        "users without traits",
        _MODEL,
        low=0,
        high=0,
        column="user_id",
    ),
)

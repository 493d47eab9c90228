"""User portraits: who may have one, and whether its figures can be."""

from __future__ import annotations

from expectations.checks import (
    FigureCheck,
    at_least_as,
    between,
    from_sql,
    matches,
    one_of,
    pseudonyms,
    published_suite,
)
from expectations.tables import PLATFORMS

_MODEL = "See dbt_project/models/marts/features/user_features.sql."
_PORTRAY = "See the report and the log of the portray step, and ml/portraits."
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_STAGES = ("visitor", "new", "active", "loyal", "at_risk", "dormant")

USER_PORTRAITS = published_suite(
    "user_portraits",
    "portrait",
    pseudonyms("No portrait names a user as the shop does"),
    between("Every confidence is a share", "confidence", 0, 1, _MODEL),
    between("Every churn probability is a share", "churn_probability", 0, 1, _MODEL),
    one_of("Every lifecycle stage is known", "lifecycle_stage", _STAGES, _MODEL),
    one_of("Every price band is known", "price_band", ("low", "mid", "high"), _MODEL),
    one_of("Every platform is known", "platform", PLATFORMS, _MODEL),
    between("Every active hour is an hour of the day", "active_hour", 0, 23, _MODEL),
    one_of("Every active weekday is a day of the week", "active_weekday", _WEEKDAYS, _PORTRAY),
    between("Every price level is of 0 to 1", "price_level", 0, 1, _PORTRAY),
    between("Every share of bargains is a share", "bargain_seeking", 0, 1, _PORTRAY),
    between("Every share of new items is a share", "novelty_seeking", 0, 1, _PORTRAY),
    between("Every sentiment of reviews is of -1 to 1", "review_sentiment", -1, 1, _PORTRAY),
    between(
        "All days between orders are above zero", "average_days_between_orders", 0, None, _PORTRAY, above=True
    ),
    matches("Every portrait can be read in English", "portrait_text", r"[A-Za-z]", "some letter", _PORTRAY),
    matches(
        "Every portrait can be read in Chinese",
        "portrait_text_zh",
        r"[\u4e00-\u9fff]",
        "some Chinese letter",
        _PORTRAY,
    ),
    between("No last purchase is in the future", "days_since_last_purchase", 0, None, _MODEL),
    between("No number of orders is negative", "orders_7d", 0, None, _MODEL),
    at_least_as("A longer window has no fewer orders: 30 days, 7 days", "orders_30d", "orders_7d", _MODEL),
    at_least_as("A longer window has no fewer orders: 90 days, 30 days", "orders_90d", "orders_30d", _MODEL),
    at_least_as("A longer window has no fewer orders: 365 days, 90 days", "orders_365d", "orders_90d", _MODEL),
    FigureCheck(
        "Every user is in a taste segment that is told of",
        from_sql("""
            with segments as (select taste_segment from published.taste_segments)
            select count(*) filter (where taste_segment not in (select taste_segment from segments)), count(*),
                min(taste_segment) filter (where taste_segment not in (select taste_segment from segments))
            from published.user_portraits
        """),
        "users",
        "The portraits and the segments are of different runs: run portray and tables again for this day.",
        low=0,
        high=0,
        column="taste_segment",
    ),
    FigureCheck(
        "Everybody whose next order is expected has ordered before",
        from_sql("""
            with judged as (
                select
                    user_id,
                    next_purchase_expected_on < as_of_date - cast(days_since_last_purchase as integer) as is_before
                from published.user_portraits
                where next_purchase_expected_on is not null
            )
            select count(*) filter (where coalesce(is_before, true)), count(*),
                min(user_id) filter (where coalesce(is_before, true))
            from judged
        """),
        "users due before their last order",
        _PORTRAY,
        low=0,
        high=0,
        column="next_purchase_expected_on",
    ),
    FigureCheck(
        "There are portraits",
        from_sql("select count(*), count(*) from published.user_portraits"),
        "users",
        "Nobody is left to personalise: check has_personalization_consent in the users feed, and clean/bots.",
        low=1,
    ),
    FigureCheck(
        "Nobody without consent has a portrait",
        # Where the shop has never asked, all consent; where it has, no answer is a no.
        from_sql("""
            with asked as (
                select count(has_personalization_consent) > 0 as is_asked
                from clean.users
            ),
            refusing as (
                select user_id
                from current.users
                where not coalesce(has_personalization_consent, false) and (select is_asked from asked)
            )
            select count(*) filter (where user_id in (select user_id from refusing)), count(*),
                min(user_id) filter (where user_id in (select user_id from refusing))
            from published.user_portraits
        """),
        "users",
        "Stop: consent was not applied. See dbt_project/models/intermediate, int_personalizable_users.",
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "Nobody who asked to be forgotten has a portrait",
        from_sql("""
            with forgotten as (select user_id from current.erasure_requests)
            select count(*) filter (where user_id in (select user_id from forgotten)), count(*),
                min(user_id) filter (where user_id in (select user_id from forgotten))
            from published.user_portraits
        """),
        "users",
        "Stop: a request was not applied. See dbt_project/models/intermediate, int_personalizable_users.",
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "No machine has a portrait",
        from_sql("""
            select count(*) filter (where user_id in (select user_id from clean.bots)), count(*),
                min(user_id) filter (where user_id in (select user_id from clean.bots))
            from published.user_portraits
        """),
        "users",
        "See dbt_project/models/intermediate, int_personalizable_users.",
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "About as many users as the last published day",
        from_sql("select count(*) / getvariable('users_before'), count(*) from published.user_portraits"),
        "times the users of the day before",
        "Users rarely vanish: check the users feed for a file cut short, and consent.",
        low=0.8,
        severity="warning",
    ),
)

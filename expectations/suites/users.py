"""Users: who is registered and may be personalised, who wishes to be forgotten, and who is no person."""

from __future__ import annotations

from expectations.checks import FigureCheck, clean_suite, from_sql, matches, one_of, pseudonyms
from expectations.suites.handed_over import handed_over

USERS = clean_suite(
    "users",
    "user",
    pseudonyms("No user is named as the shop does"),
    one_of(
        "Every language is Chinese or English",
        "language",
        ("zh", "en"),
        "Other users get reasons in English: have the shop write zh or en.",
        "warning",
    ),
    FigureCheck(
        "Some users consent to be personalised",
        # Where the shop has never asked for consent, all may be.
        from_sql("""
            select case when count(has_personalization_consent) > 0
                then count(*) filter (where has_personalization_consent) / count(*) end,
                count(*)
            from current.users
        """),
        "of the users",
        "Without consent nobody gets a portrait: check has_personalization_consent in the users feed.",
        low=0.01,
        severity="warning",
        column="has_personalization_consent",
    ),
    *handed_over("users"),
)

ERASURE_REQUESTS = clean_suite(
    "erasure_requests",
    "request",
    pseudonyms("No request names a user as the shop does"),
    *handed_over("erasure_requests"),
)

BOTS = clean_suite(
    "bots",
    "bot",
    pseudonyms("No bot is named as the shop does"),
    matches(
        "Every bot was found by a rule, with what was seen",
        "evidence",
        r"\d",
        "a number in it",
        "See spark_jobs/transforms/bots.py: a finding without a figure cannot be judged.",
    ),
    FigureCheck(
        "Few visitors are found to be machines",
        from_sql("""
            select (select count(*) from clean.bots) / nullif(count(distinct user_id), 0), count(*)
            from clean.events
        """),
        "of the known visitors",
        "Look at rule and evidence in clean/bots: a rule that takes shoppers for machines silences them.",
        high=0.2,
        severity="warning",
    ),
)

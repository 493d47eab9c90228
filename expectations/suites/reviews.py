"""Reviews: what people wrote about items."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, clean_suite, from_sql, pseudonyms
from expectations.suites.handed_over import handed_over

_CLEANING = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."

REVIEWS = clean_suite(
    "reviews",
    "review",
    pseudonyms("No review names a user as the shop does"),
    between("Every rating is of 1 to 5 stars", "rating", 1, 5, _CLEANING),
    FigureCheck(
        "Reviews are of items in the catalogue",
        from_sql("""
            with reviewed as (
                select item_id, item_id in (select item_id from clean.items) as is_known from new.reviews
            )
            select count(*) filter (where not is_known), count(*), min(item_id) filter (where not is_known)
            from reviewed
        """),
        "reviews",
        "Have the shop hand over these items: without them the reviews cannot be used.",
        low=0,
        high=0,
        severity="warning",
        column="item_id",
    ),
    *handed_over("reviews"),
)

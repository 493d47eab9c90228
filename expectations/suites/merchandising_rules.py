"""The shop's own rules on what its lists show."""

from __future__ import annotations

from expectations.checks import FigureCheck, at_least_as, between, clean_suite, from_sql, one_of
from expectations.suites.handed_over import handed_over
from expectations.tables import RULE_ACTIONS

_CLEANING = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."

MERCHANDISING_RULES = clean_suite(
    "merchandising_rules",
    "rule",
    one_of("Every rule blocks, pins or boosts", "action", RULE_ACTIONS, _CLEANING),
    between("Every pinned place is counted from 1", "position", 1, None, _CLEANING),
    between("Every boost is above zero", "factor", 0, None, _CLEANING, above=True),
    at_least_as("No rule ends before it starts", "ends_on", "starts_on", _CLEANING),
    FigureCheck(
        "Every rule about an item is about one that is known",
        from_sql("""
            with rules as (
                select rule_id, item_id is null or item_id in (select item_id from clean.items) as is_known
                from new.merchandising_rules
            )
            select count(*) filter (where not is_known), count(*), min(rule_id) filter (where not is_known)
            from rules
        """),
        "rules",
        "Have the shop hand over these items, or correct the rules: until then they do nothing.",
        low=0,
        high=0,
        severity="warning",
        column="item_id",
    ),
    *handed_over("merchandising_rules"),
)

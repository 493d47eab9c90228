"""Quarantine: rejected rows, each with its reason."""

from __future__ import annotations

from expectations.checks import FigureCheck, clean_suite, from_sql, matches, one_of
from expectations.tables import FEEDS

_CLEANING = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."

QUARANTINE = clean_suite(
    "quarantine",
    "rejected row",
    one_of("Every rejected row names its feed", "feed", tuple(FEEDS), _CLEANING),
    matches(
        "Every reason is a short code",
        "reason",
        r"^[a-z_]+(:[a-z_]+)?$",
        "a code, with the column after a colon",
        _CLEANING,
    ),
    FigureCheck(
        "The quarantine holds every row that was counted as rejected",
        from_sql("""
            with dated as (select path, quarantined from inputs where is_dated),
            held as (
                select distinct source_file, row_number
                from new.quarantine
                where source_file in (select path from dated)
            )
            select (select coalesce(sum(quarantined), 0) from dated) - count(*), count(*)
            from held
        """),
        "rows missing",
        _CLEANING,
        low=0,
        high=0,
    ),
)

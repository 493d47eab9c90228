"""Checks that every feed has on the files new to the day: are all rows accounted for, and how many are bad."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from expectations.checks import Figure, FigureCheck

USUAL_QUARANTINED_SHARE = 0.05


def handed_over(feed: str) -> tuple[FigureCheck, FigureCheck]:
    """Return both checks for one feed."""
    return (
        FigureCheck(
            "Every row handed over is clean, in quarantine or set aside by name",
            _of_inputs(
                feed,
                "coalesce(sum(abs(rows - clean - quarantined - set_aside)), 0), coalesce(sum(rows), 0), "
                "min(path) filter (where rows <> clean + quarantined + set_aside)",
            ),
            "rows unaccounted for",
            "Rows were lost or counted twice: clean again with --full-refresh; if it stays, it is a defect.",
            low=0,
            high=0,
        ),
        FigureCheck(
            "Few of the rows handed over are in quarantine",
            _of_inputs(
                feed,
                "sum(quarantined) / nullif(sum(rows), 0), coalesce(sum(rows), 0), "
                "arg_max(path, quarantined) filter (where quarantined > 0)",
            ),
            "of the rows",
            f"Look at reason and raw in clean/quarantine for feed {feed}, and tell the shop which column changed.",
            high=USUAL_QUARANTINED_SHARE,
            severity="warning",
        ),
    )


def _of_inputs(feed: str, aggregate: str) -> Callable[[duckdb.DuckDBPyConnection], Figure]:
    def figure(connection: duckdb.DuckDBPyConnection) -> Figure:
        files = connection.table("inputs").filter(duckdb.ColumnExpression("feed") == feed)
        value, rows, example = files.aggregate(aggregate).fetchall()[0]
        return Figure(None if value is None else float(value), int(rows), example)

    return figure

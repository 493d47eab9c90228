"""Whole tables compared, but for what names the run."""

from __future__ import annotations

from pathlib import Path

import duckdb

from expectations.tables import PUBLISHED, history_dir

RUN_COLUMNS = ("run_id", "generated_at")


def published_rows(lake: Path, table: str, as_of: str, run_id: str) -> list[tuple[object, ...]]:
    """Return the rows that a run published for a day, sorted, without the columns that name the run."""
    file = history_dir(lake, table, as_of) / f"{run_id}.parquet"
    exclude = ", ".join(RUN_COLUMNS)
    return duckdb.sql(f"select * exclude ({exclude}) from read_parquet('{file}') order by all").fetchall()


def differences(lake: Path, as_of: str, run_id: str, other_lake: Path, other_run_id: str) -> dict[str, int]:
    """Count, by table, the rows that stand on one side only."""
    found = {}
    for table in PUBLISHED:
        ours = published_rows(lake, table, as_of, run_id)
        theirs = published_rows(other_lake, table, as_of, other_run_id)
        assert ours, f"{table} of {as_of} is empty"
        if ours != theirs:
            found[table] = len(set(ours) ^ set(theirs))
    return found

"""Whole tables compared, but for what names the run."""

from __future__ import annotations

from pathlib import Path

import duckdb

from expectations.tables import PUBLISHED
from warehouse.history import history_file
from warehouse.runs import find_run, recorded_runs

RUN_COLUMNS = ("run_id", "generated_at")
Tables = dict[str, list[tuple[object, ...]]]


def published_tables(lake: Path, as_of: str, run_id: str) -> Tables:
    """Return all that a run published for a day, each table sorted, without the columns that name the run."""
    exclude = ", ".join(RUN_COLUMNS)
    run = find_run(recorded_runs(lake), run_id)
    assert run is not None
    assert str(run.as_of_date) == as_of
    tables = {}
    for table in PUBLISHED:
        file = history_file(lake, table, run)
        rows = duckdb.sql(f"select * exclude ({exclude}) from read_parquet('{file}') order by all").fetchall()
        assert rows, f"{table} of {as_of} is empty"
        tables[table] = rows
    return tables


def differences(ours: Tables, theirs: Tables) -> dict[str, int]:
    """Count, by table, the rows that stand on one side only."""
    return {
        table: len(set(ours[table]) ^ set(theirs[table])) for table in PUBLISHED if ours[table] != theirs[table]
    }

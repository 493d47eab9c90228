"""Published history in the lake: one Parquet file per table, day and run, never changed once it is in place."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb

from expectations.tables import PUBLISHED, REFUSED_CHECKS, Table, history_dir, run_dir
from warehouse.relations import typed
from warehouse.runs import REFUSED, PipelineRun, standing_runs

log = logging.getLogger("qianmian")


def history_file(lake: Path, table: str, as_of: date | str, run_id: str) -> Path:
    """Return the place of one table of one run."""
    return history_dir(lake, table, str(as_of)) / f"{run_dir(lake, run_id).name}.parquet"


def read_parquet(connection: duckdb.DuckDBPyConnection, *files: Path) -> duckdb.DuckDBPyRelation:
    """Return the rows of Parquet files, some of which may lack columns that came later.

    The characters of patterns are taken literally, and folders named `column=value` give no column.
    """
    names = [glob.escape(str(file.resolve())) for file in files]
    return connection.read_parquet(names, union_by_name=True, hive_partitioning=False)


def write_history(rows: duckdb.DuckDBPyRelation, table: Table, file: Path) -> None:
    """Write rows to `file`, typed as in `table` and sorted by its key. It appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        typed(rows, table).order(", ".join(table.key)).write_parquet(str(aside), compression="zstd")
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)  # half of it, where the disk is full


def prune_history(lake: Path, before: Iterable[PipelineRun], after: Iterable[PipelineRun], as_of: date) -> None:
    """Delete the files of runs that no reader can still see.

    A run superseded by this publishing is kept until the next one, because the warehouse that was just replaced
    may still be open somewhere and looks at its files. What a killed publisher left for this day belongs to no
    run and goes.
    """
    before, after = list(before), list(after)
    seen = {run.run_id for run in (*standing_runs(before).values(), *standing_runs(after).values())}
    gone = [run for run in before if run.run_id not in seen and run.status != REFUSED]
    for table in PUBLISHED:
        for run in gone:
            history_file(lake, table, run.as_of_date, run.run_id).unlink(missing_ok=True)
        kept = {history_file(lake, table, as_of, run_id).name for run_id in seen}
        _delete_others(history_dir(lake, table, str(as_of)), kept)
    refused = {
        history_file(lake, REFUSED_CHECKS.name, as_of, run.run_id).name for run in after if run.status == REFUSED
    }
    _delete_others(history_dir(lake, REFUSED_CHECKS.name, str(as_of)), refused)


def _delete_others(folder: Path, kept: set[str]) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in kept:
                log.info("history of no standing run deleted: %s", path)
                path.unlink()

"""Published history in the lake: one Parquet file per table, day and publishing, never written over.

A run may be published again under its id (a task cleared in Airflow, a backfill with AGAIN). Each time it writes
files of its own, so that one which breaks off leaves those that stand as they are.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb

from expectations.tables import PUBLISHED, REFUSED_CHECKS, Table, history_dir, history_stem, kept_history_file
from warehouse.relations import typed
from warehouse.runs import REFUSED, PipelineRun, standing_runs

log = logging.getLogger("qianmian")

_FILE = re.compile(r"([^.].*?)(?:~\d{8}T\d{12})?\.parquet")


def history_file(lake: Path, table: str, run: PipelineRun) -> Path:
    """Return where one table of a run lies, as that was published last."""
    return kept_history_file(lake, table, str(run.as_of_date), run.run_id, run.published_at)


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


def remove_broken_off(lake: Path, runs: Iterable[PipelineRun], as_of: str, run_id: str) -> None:
    """Delete what attempts to publish this run that broke off have left: a full disk has no room for it."""
    standing = standing_runs(runs).values()
    for table in PUBLISHED:
        kept = {history_file(lake, table, run) for run in standing}
        _delete(
            path
            for path in _files(history_dir(lake, table, as_of))
            if path not in kept and _run_of(path) == history_stem(run_id, None)
        )


def prune_history(lake: Path, before: Iterable[PipelineRun], after: Iterable[PipelineRun], as_of: date) -> None:
    """Delete the files of publishings that no reader can still see, of whatever day.

    What this publishing has superseded is kept until the next one, because the warehouse that was just replaced
    may still be open somewhere and looks at its files. What a killed publisher left for this day belongs to no
    run and goes. Files of other days whose run nobody knows are left alone: they may be all that there is of it.
    """
    before, after = list(before), list(after)
    seen = [*standing_runs(before).values(), *standing_runs(after).values()]
    known = {history_stem(run.run_id, None) for run in (*before, *after)}
    for table in PUBLISHED:
        kept = {history_file(lake, table, run) for run in seen}
        this_day = history_dir(lake, table, str(as_of))
        for folder in this_day.parent.glob("as_of_date=*"):
            _delete(
                path
                for path in _files(folder)
                if path not in kept and (folder == this_day or _run_of(path) in known)
            )
    refused = {history_file(lake, REFUSED_CHECKS.name, run) for run in after if run.status == REFUSED}
    folder = history_dir(lake, REFUSED_CHECKS.name, str(as_of))
    _delete(path for path in _files(folder) if path not in refused)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _run_of(file: Path) -> str:
    """Return the name of the run that a file is of, whichever publishing of it; of other files, none."""
    found = _FILE.fullmatch(file.name)
    return found[1] if found else ""


def _delete(files: Iterable[Path]) -> None:
    for path in files:
        log.info("history of no standing run deleted: %s", path)
        path.unlink()

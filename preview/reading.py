"""What a page reads: the published tables of one day, and of the day published before it.

Each page view opens the warehouse anew and closes it, so that it sees what a run has put in place since. It is
attached to a database in memory of its own: a second `duckdb.connect` to the same path would go on showing the
file that was replaced for as long as anybody in this process has that open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import PIPELINE_RUNS, PUBLISHED, REFUSED_CHECKS, Table
from warehouse.history import history_file, read_parquet
from warehouse.relations import sql_text, typed
from warehouse.runs import PipelineRun, latest_run, standing_runs, stored_runs

#: Days of model_metrics and such that a page looks back.
DAYS_BACK = 60

Rows = list[dict[str, Any]]
Identity = tuple[int, int, int]


class UnreadableError(Exception):
    """There is nothing to show. `key` names the text that says why and what to do (`words.py`)."""

    def __init__(self, key: str, **values: str) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


@dataclass(frozen=True)
class Reading:
    """The tables of one day, as views `today.<table>`, and those of the day before it, `before.<table>`.

    A table that is not there has a view without rows: `missing` names it, with its schema.
    """

    connection: duckdb.DuckDBPyConnection
    lake: Path
    runs: dict[date, PipelineRun]
    run: PipelineRun
    before: PipelineRun | None
    missing: frozenset[str]

    @property
    def days(self) -> list[date]:
        """Days that can be shown, latest first."""
        return sorted(self.runs, reverse=True)

    def ask(self, sql: str, **values: Any) -> Rows:
        """Run a query; `$name` stands for a value."""
        answer = self.connection.execute(sql, values)
        names = [column[0] for column in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def state(self, table: str, schema: str = "today") -> str:
        """Tell whether a table is `there`, `empty`, or `missing`: not published by the release that made it."""
        if f"{schema}.{table}" in self.missing:
            return "missing"
        return "there" if self.ask(f"select 1 from {schema}.{table} limit 1") else "empty"


def identity(warehouse: Path) -> Identity | None:
    """Return what tells one warehouse file from the one that replaced it; None where there is none."""
    try:
        found = warehouse.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def open_reading(warehouse: Path, lake: Path, day: date | None = None) -> Iterator[Reading]:
    """Open the published tables of a day for reading; without a day, or with one not published, of the latest.

    Raises:
        UnreadableError: there is no warehouse, it cannot be opened, nothing is published, or a file went away
            while it was read.

    """
    if not warehouse.exists():
        raise UnreadableError("no_warehouse", file=str(warehouse))
    with duckdb.connect() as connection:
        # Nothing is written: what does not fit into memory fails rather than fill a disk.
        connection.execute("set memory_limit = '2GB'; set temp_directory = ''; set timezone = 'UTC'")
        try:
            connection.execute(f"attach {sql_text(str(warehouse))} as warehouse (read_only)")
        except duckdb.Error as error:
            raise UnreadableError("locked", file=str(warehouse), why=str(error).splitlines()[0]) from error
        try:
            yield _reading(connection, lake, day)
        except duckdb.IOException as error:
            raise UnreadableError("went_away", why=str(error).splitlines()[0]) from error


def _reading(connection: duckdb.DuckDBPyConnection, lake: Path, day: date | None) -> Reading:
    stored = {
        row[0]
        for row in connection.execute(
            "select table_name from duckdb_tables() where database_name = 'warehouse'"
        ).fetchall()
    }
    if PIPELINE_RUNS.name not in stored:
        raise UnreadableError("not_a_warehouse")
    runs = _runs(connection)
    standing = standing_runs(runs)
    latest = latest_run(runs)
    if latest is None:
        raise UnreadableError("nothing_published")
    run = standing.get(day, latest) if day else latest
    earlier = [d for d in standing if d < run.as_of_date]
    before = standing[max(earlier)] if earlier else None
    missing = set()
    for schema, shown in (("today", run), ("before", before)):
        connection.execute(f"create schema {schema}")
        for table in PUBLISHED.values():
            rows = _rows(connection, lake, table, shown, shown == latest, stored)
            if rows is None:
                missing.add(f"{schema}.{table.name}")
            sql = typed(rows, table).sql_query() if rows is not None else _no_rows(table)
            connection.execute(f"create view {schema}.{table.name} as {sql}")
    _stored_runs(connection).create_view(PIPELINE_RUNS.name)
    refused = (
        f"from warehouse.{REFUSED_CHECKS.name}" if REFUSED_CHECKS.name in stored else _no_rows(REFUSED_CHECKS)
    )
    connection.execute(f"create view {REFUSED_CHECKS.name} as {refused}")
    return Reading(connection, lake, standing, run, before, frozenset(missing))


def _stored_runs(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    return stored_runs(connection, f"warehouse.{PIPELINE_RUNS.name}")


def _runs(connection: duckdb.DuckDBPyConnection) -> list[PipelineRun]:
    """Read all runs; their reports, which are long, stay where they are."""
    names = [f.name for f in fields(PipelineRun) if f.name != "report"]
    rows = _stored_runs(connection).project(", ".join(names)).order("generated_at, run_id")
    return [PipelineRun(**dict(zip(names, row, strict=True))) for row in rows.fetchall()]


def _rows(
    connection: duckdb.DuckDBPyConnection,
    lake: Path,
    table: Table,
    run: PipelineRun | None,
    is_latest: bool,
    stored: set[str],
) -> duckdb.DuckDBPyRelation | None:
    """Return a table's rows: the latest day's from the warehouse, another day's from its history."""
    if run is None:
        return None
    if is_latest:
        return connection.table(f"warehouse.{table.name}") if table.name in stored else None
    file = history_file(lake, table.name, run)
    return read_parquet(connection, file) if file.exists() else None


def _no_rows(table: Table) -> str:
    columns = ", ".join(f"cast(null as {c.duckdb_type}) as {c.name}" for c in table.columns)
    return f"select {columns} where false"


def over_days(reading: Reading, table: str) -> duckdb.DuckDBPyRelation | None:
    """Return a table's rows of up to 60 days, to the day shown: of each the run that stands. None without any."""
    shown = [run for day, run in sorted(reading.runs.items()) if day <= reading.run.as_of_date][-DAYS_BACK:]
    files = [history_file(reading.lake, table, run) for run in shown]
    found = [file for file in files if file.exists()]
    return typed(read_parquet(reading.connection, *found), PUBLISHED[table]) if found else None

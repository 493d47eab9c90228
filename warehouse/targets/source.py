"""What a target is brought up to: the DuckDB warehouse in place, opened once, so whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from expectations.tables import HISTORIES, PIPELINE_RUNS, REFUSED_CHECKS, Table
from qianmian.step import StepError
from warehouse.relations import typed
from warehouse.runs import PipelineRun, latest_run, standing_runs, stored_runs

BATCH_ROWS = 100_000
#: Small, and never of one set alone: which runs there were, and what stopped those that were refused.
RUN_TABLES = {table.name: table for table in (PIPELINE_RUNS, REFUSED_CHECKS)}


@dataclass(frozen=True)
class Source:
    """An open warehouse, its runs, and the run whose tables stand (None before the first)."""

    connection: duckdb.DuckDBPyConnection
    runs: list[PipelineRun]

    @property
    def latest(self) -> PipelineRun | None:
        """The run whose tables stand."""
        return latest_run(self.runs)

    def run_table(self, name: str) -> duckdb.DuckDBPyRelation:
        """Return a table of `RUN_TABLES` with today's columns."""
        if name == PIPELINE_RUNS.name:
            return stored_runs(self.connection)
        return typed(self.connection.table(name), RUN_TABLES[name])

    @property
    def days(self) -> dict[date, tuple[str, datetime | None]]:
        """The run behind each day of history, and when it was published: it may be again, under its id."""
        return {day: (run.run_id, run.published_at) for day, run in standing_runs(self.runs).items()}

    @property
    def histories(self) -> list[Table]:
        """The tables of history that are there: a warehouse of an earlier release has fewer."""
        found = self.connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        return [table for table in HISTORIES.values() if (table.name,) in found]

    def never_null(self, table: str) -> set[str]:
        """Return the columns of a table that are never null here: a run of an earlier release lacks some."""
        found = self.connection.execute(
            "select column_name from duckdb_columns() where table_name = ? and not is_nullable", [table]
        )
        return {name for (name,) in found.fetchall()}


def shop_of(lake: Path) -> str:
    """Return the name of the shop that a lake is of: the folder that it lies in."""
    return lake.resolve().parent.name


def refuse_another_shops(place: str, theirs: str, ours: str, setting: str, renamed: str) -> None:
    """Refuse a target that another shop's tables are in: each publishing would delete the other's.

    Args:
        place: the target, in words.
        theirs: the shop whose tables are there; empty where none is known.
        ours: the shop that is being published.
        setting: what names the target.
        renamed: what to do where both names are one shop's.

    Raises:
        StepError: it is another's.

    """
    if theirs and theirs != ours:
        raise StepError(
            f"{place} holds the tables of the shop {theirs}: those of {ours} would take their place.",
            f"Give each shop a place of its own ({setting} in [shops.{ours}] of qianmian.toml). If {theirs} is "
            f"what {ours} was called before: {renamed}, then run this step again.",
        )


@contextmanager
def open_source(warehouse: Path) -> Iterator[Source]:
    """Open the warehouse in place for reading.

    Raises:
        StepError: there is none, or it cannot be read.

    """
    if not warehouse.exists():
        raise StepError(f"{warehouse} is not there: nothing was published yet.", "Run the daily job: make run.")
    try:
        connection = duckdb.connect(str(warehouse), read_only=True)
    except duckdb.Error as error:
        raise StepError(
            f"{warehouse} cannot be read: {str(error).splitlines()[0]}",
            "Close the program that has it open for writing, or make it anew: python -m warehouse.rebuild.",
        ) from None
    with connection:
        connection.execute("set memory_limit = '1GB'")
        rows = stored_runs(connection).order("generated_at, run_id")
        yield Source(connection, [_run(dict(zip(rows.columns, row, strict=True))) for row in rows.fetchall()])


def _run(row: dict[str, object]) -> PipelineRun:
    return PipelineRun(**{name: row[name] for name in PipelineRun.__dataclass_fields__})  # type: ignore[arg-type]

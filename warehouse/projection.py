"""The warehouse as a projection: from the lake's history and the list of runs, all tables, in one new file."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import duckdb

from expectations.tables import (
    DATA_FRESHNESS,
    DATA_FRESHNESS_SQL,
    HISTORIES,
    PIPELINE_RUNS,
    PUBLISHED,
    REFUSED_CHECKS,
    Table,
)
from qianmian.step import StepError
from warehouse.history import history_file, read_parquet
from warehouse.relations import count_rows, sql_text, typed
from warehouse.runs import REFUSED, PipelineRun, latest_run, standing_runs

log = logging.getLogger("qianmian")


def build_warehouse(file: Path, lake: Path, runs: list[PipelineRun]) -> dict[str, int]:
    """Write a new DuckDB file with every table: those of the latest published run, and what all runs add.

    Args:
        file: where to write; nothing may be there.
        lake: the shop's lake with the published history.
        runs: all runs, as they shall stand in `pipeline_runs`.

    Returns:
        The rows of each table and view.

    Raises:
        StepError: the latest run's history is gone from the lake.

    """
    latest = latest_run(runs)
    with duckdb.connect(str(file)) as connection:
        connection.execute("set memory_limit = '2GB'")
        for table in PUBLISHED.values():
            files = [history_file(lake, table.name, latest)] if latest else []
            if latest and not files[0].exists():
                raise StepError(
                    f"{files[0]} is gone: the latest published tables (of {latest.as_of_date}) are read from it.",
                    f"Bring it back from a backup, or publish {latest.as_of_date} again by running that day.",
                )
            _load(connection, table, files)
        _load_runs(connection, runs, latest)
        refused = [history_file(lake, REFUSED_CHECKS.name, run) for run in runs if run.status == REFUSED]
        _load(connection, REFUSED_CHECKS, [path for path in refused if path.exists()])
        for name in HISTORIES:
            _create_history_view(connection, lake, runs, name)
        connection.execute(
            f"create view {DATA_FRESHNESS.name} as {DATA_FRESHNESS_SQL.format(runs=PIPELINE_RUNS.name)}"
        )
        _describe(connection, "view", DATA_FRESHNESS.name, DATA_FRESHNESS)
        connection.execute("checkpoint")
        return _count_all(connection)


def _load(connection: duckdb.DuckDBPyConnection, table: Table, files: list[Path]) -> None:
    """Create one table and fill it from Parquet files, in their order, which is the key's."""
    if not files:
        _create(connection, table)
        return
    rows = read_parquet(connection, *files)
    _create(connection, table, nullable=set(table.column_names) - set(rows.columns))
    typed(rows, table).insert_into(table.name)


def _load_runs(connection: duckdb.DuckDBPyConnection, runs: list[PipelineRun], latest: PipelineRun | None) -> None:
    _create(connection, PIPELINE_RUNS, primary_key=True)
    for run in runs:
        row = {**asdict(run), "is_latest": latest is not None and run.run_id == latest.run_id}
        connection.table(PIPELINE_RUNS.name).insert([row[name] for name in PIPELINE_RUNS.column_names])


def _create(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    nullable: frozenset[str] | set[str] = frozenset(),
    *,
    primary_key: bool = False,
) -> None:
    """Create one empty table with its types, its NOT NULLs and its descriptions.

    Keys are checked before publishing and named in the comment rather than declared: DuckDB would build an index
    over each, which costs more than the table does and helps no reader of whole columns.
    """
    definitions = [
        f"{c.name} {c.duckdb_type}{' not null' if c.required and c.name not in nullable else ''}"
        for c in table.columns
    ]
    if primary_key:
        definitions.append(f"primary key ({', '.join(table.key)})")
    connection.execute(f"create table {table.name} ({', '.join(definitions)})")
    _describe(connection, "table", table.name, table)


def _describe(connection: duckdb.DuckDBPyConnection, kind: str, name: str, table: Table, more: str = "") -> None:
    comment = f"{table.description}{more} Key: {', '.join(table.key)}."
    connection.execute(f"comment on {kind} {name} is {sql_text(comment)}")
    for column in table.columns:
        connection.execute(f"comment on column {name}.{column.name} is {sql_text(column.description)}")


def _create_history_view(
    connection: duckdb.DuckDBPyConnection, lake: Path, runs: list[PipelineRun], name: str
) -> None:
    """Create the view over the history of one table: per day, the file of the run published last.

    It names the files one by one, so that a file written for a later publishing is not seen before that is in
    place.
    """
    view = HISTORIES[name]
    files = []
    for day, run in standing_runs(runs).items():
        file = history_file(lake, name, run)
        if file.exists():
            files.append(file)
        else:
            log.warning("%s is gone: %s shows nothing of %s", file, view.name, day)
    rows = read_parquet(connection, *files) if files else connection.table(name).filter("false")
    typed(rows, view).create_view(view.name)
    _describe(connection, "view", view.name, view, " Read from the lake's files.")


def count_all(file: Path) -> dict[str, int]:
    """Count the rows of every table and view in a warehouse, through a connection of its own, read-only."""
    with duckdb.connect(str(file), read_only=True) as connection:
        return _count_all(connection)


def _count_all(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    names = [*PUBLISHED, PIPELINE_RUNS.name, REFUSED_CHECKS.name, *(view.name for view in HISTORIES.values())]
    return {name: count_rows(connection.table(name)) for name in names}

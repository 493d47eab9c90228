"""The candidate tables of a run: what dbt built and the checks' results, proved to be whole and this run's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from expectations.tables import PUBLISHED, Table, features_db, outputs_dir
from qianmian.step import StepError
from warehouse.history import read_parquet
from warehouse.relations import count_rows, sql_text

#: A set without rows in one of these tells a reader nothing; the others may be empty in a young shop.
NEVER_EMPTY = ("user_portraits", "home_recommendations", "hot_items", "data_quality_results")

RESULTS = "data_quality_results"

_AGAIN = "Run the tables step again for this run, then its checks, then this step."


@contextmanager
def candidates(
    lake: Path, as_of: str, run_id: str, generated_at: datetime
) -> Iterator[dict[str, duckdb.DuckDBPyRelation]]:
    """Open a run's candidate tables for reading.

    Yields:
        The rows of each published table.

    Raises:
        StepError: a table is missing, holds rows of another run or day, is empty or has a key twice.

    """
    file = features_db(lake)
    if not file.exists():
        raise StepError(f"{file} is not there: no tables were built.", "Run the features and tables steps first.")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set memory_limit = '2GB'")
        connection.execute(f"set temp_directory = {sql_text(f'{file}.tmp')}")
        connection.execute(f"attach {sql_text(str(file))} as candidates (read_only)")
        tables = {name: _table(connection, name) for name in PUBLISHED if name != RESULTS}
        tables[RESULTS] = _results(connection, lake, as_of, run_id, generated_at)
        for name, rows in tables.items():
            _prove_whole(rows, PUBLISHED[name], as_of, run_id)
        yield tables


def results_file(lake: Path, as_of: str, run_id: str, stages: tuple[str, ...] = ("",)) -> Path | None:
    """Return the file with the results of a run's checks, if this very run wrote one.

    The file says in its metadata which run that was: an earlier run of the same day may have left one too.
    """
    for stage in stages:
        file = outputs_dir(lake, as_of) / f"{RESULTS}{stage}.parquet"
        if file.exists() and (pq.read_metadata(file).metadata or {}).get(b"run_id") == run_id.encode():
            return file
    return None


def read_results(
    connection: duckdb.DuckDBPyConnection, file: Path, as_of: str, run_id: str, generated_at: datetime
) -> duckdb.DuckDBPyRelation:
    """Return the rows of a results file with the columns added that every published row carries."""
    return read_parquet(connection, file).project(
        f"*, date '{as_of}' as as_of_date, {sql_text(run_id)} as run_id,"
        f" timestamp '{generated_at.isoformat()}' as generated_at"
    )


def _results(
    connection: duckdb.DuckDBPyConnection, lake: Path, as_of: str, run_id: str, generated_at: datetime
) -> duckdb.DuckDBPyRelation:
    file = results_file(lake, as_of, run_id)
    if file is None:
        raise StepError(
            f"{outputs_dir(lake, as_of) / RESULTS}.parquet does not hold the checks of run {run_id}.",
            "Run the checks of this run first: python -m expectations.run --stage clean, then --stage tables.",
        )
    return read_results(connection, file, as_of, run_id, generated_at)


def _table(connection: duckdb.DuckDBPyConnection, name: str) -> duckdb.DuckDBPyRelation:
    try:
        return connection.table(f"candidates.published.{name}")
    except duckdb.CatalogException:
        raise StepError(f"The table {name} was not built.", _AGAIN) from None


def _prove_whole(rows: duckdb.DuckDBPyRelation, table: Table, as_of: str, run_id: str) -> None:
    if absent := [name for name in table.column_names if name not in rows.columns]:
        raise StepError(f"The table {table.name} lacks {', '.join(absent)}.", _AGAIN)
    key = ", ".join(table.key)
    another = f"as_of_date is distinct from date '{as_of}' or run_id is distinct from {sql_text(run_id)}"
    nulls = ", ".join(f"count(*) filter (where {name} is null)" for name in table.required)
    count, others, *empty = rows.aggregate(f"count(*), count(*) filter (where {another}), {nulls}").fetchall()[0]
    doubled = count_rows(rows.aggregate(f"{key}, count(*) as copies", key), "copies > 1")
    if others:
        raise StepError(
            f"{others} of the {count} rows of {table.name} belong to another run or day than {run_id}, {as_of}.",
            _AGAIN,
        )
    if doubled:
        raise StepError(f"{doubled} keys ({key}) stand in {table.name} more than once.", _AGAIN)
    if any(empty):
        named = [f"{name} ({absent} rows)" for name, absent in zip(table.required, empty, strict=True) if absent]
        raise StepError(f"Columns of {table.name} that are never empty are: {', '.join(named)}.", _AGAIN)
    if not count and table.name in NEVER_EMPTY:
        raise StepError(
            f"The table {table.name} has no rows.",
            "See the reports of the steps before (features, recommend): no user or no item was left to work with.",
        )

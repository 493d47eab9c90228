"""The lake as the checks see it: DuckDB views over what was known on the as-of date.

    clean.<table>      every row that happened and had arrived by the as-of date
    new.<table>        those of them in partitions that files new to this day have touched
    current.<table>    state feeds: the version of each key that stands on the day
    inputs             one row for each file new to this day, with its counts
    getvariable('as_of')

A file is new to a day if the last earlier day that passed its checks had not seen it: the work follows the new
data, a file that is handed in late or corrected is checked, and the same day again checks the same.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from expectations.tables import (
    CLEAN,
    FEEDS,
    STATE_FEEDS,
    Table,
    arrived_by,
    clean_dir,
    day_in,
    outputs_dir,
    run_dir,
)

CHECKED_INPUTS = "checked_inputs.json"
_INPUT_COUNTS = pa.schema(
    [
        ("feed", pa.string()),
        ("path", pa.string()),
        ("is_dated", pa.bool_()),
        *((name, pa.int64()) for name in ("rows", "clean", "quarantined", "set_aside")),
    ]
)
_MEMORY_LIMIT = "2GB"
_NEWEST_FIRST = "arrived_on desc, source_file desc, row_number desc"


class CleanTables:
    """The clean tables' manifests as of one day, and which of their files are new to it."""

    def __init__(self, lake: Path, as_of: str) -> None:
        self.lake = lake
        self.as_of = as_of
        self.manifests = {name: _read_manifest(lake, name) for name in CLEAN}
        known = _checked_before(lake, as_of)
        self.inputs: dict[str, dict[str, Any]] = {
            path: entry
            for feed in FEEDS
            for path, entry in sorted(self.manifests[feed].get("inputs", {}).items())
            if arrived_by(path, as_of)
        }
        self.new_inputs = {path: e for path, e in self.inputs.items() if known.get(path) != e["sha256"]}

    def is_there(self, table: str) -> bool:
        """Whether the table has ever been written: a shop need not hand over every feed."""
        return bool(self.manifests[table])

    def files(self, table: Table, *, only_new: bool) -> list[str]:
        """Return the table's files that may hold rows up to the as-of date, in the partitions' order."""
        touched = {
            day
            for path, entry in self.new_inputs.items()
            if path.split("/", 1)[0] == table.name
            for day in entry["partitions"]
        }
        is_fed = table.name in FEEDS
        folder = clean_dir(self.lake, table.name)
        return [
            glob.escape(str((folder / file).resolve()))
            for value, part in sorted(self.manifests[table.name].get("partitions", {}).items())
            if (table.partition == "feed" or value <= self.as_of)
            and (not (only_new and is_fed) or value in touched)
            for file in part["files"]
        ]

    def counts(self) -> pa.Table:
        """Return one row for each new file: its rows, and what became of them."""
        rows = []
        for path, entry in self.new_inputs.items():
            counts = entry["counts"]
            rows.append(
                {
                    "feed": path.split("/", 1)[0],
                    "path": path,
                    "is_dated": day_in(path) is not None,
                    "rows": counts["rows"],
                    "clean": counts["clean"],
                    "quarantined": sum(counts["quarantined"].values()),
                    "set_aside": sum(counts["set_aside"].values()),
                }
            )
        return pa.Table.from_pylist(rows, schema=_INPUT_COUNTS)

    def checked_inputs(self) -> str:
        """Return, as JSON, the checksums of the files that this day has seen."""
        return json.dumps({path: entry["sha256"] for path, entry in self.inputs.items()}, indent=0)


@contextmanager
def lake_views(lake: Path, run_id: str, clean: CleanTables) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB connection with the views; what does not fit in memory goes to the run's folder."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"set memory_limit = '{_MEMORY_LIMIT}'")
        connection.execute("set temp_directory = ?", [str(run_dir(lake, run_id) / "duckdb.tmp")])
        connection.execute(f"set variable as_of = date '{clean.as_of}'")
        connection.register("counts", clean.counts())
        connection.execute("create table inputs as from counts")
        for schema in ("clean", "new", "current"):
            connection.execute(f"create schema {schema}")
        for table in CLEAN.values():
            every = _rows(connection, table, clean.files(table, only_new=False))
            _create_view(connection, "clean", table.name, every)
            new = _rows(connection, table, clean.files(table, only_new=True))
            if table.name == "quarantine":
                new = new.join(connection.table("inputs").project("path as source_file"), "source_file", "semi")
            _create_view(connection, "new", table.name, new)
        for name in STATE_FEEDS:
            key = ", ".join(CLEAN[name].key)
            age = f"row_number() over (partition by {key} order by {_NEWEST_FIRST}) as age"
            newest = connection.table(f"clean.{name}").project(f"*, {age}").filter("age = 1")
            _create_view(connection, "current", name, newest.project("* exclude (age)"))
        yield connection


def empty(connection: duckdb.DuckDBPyConnection, table: Table) -> duckdb.DuckDBPyRelation:
    """Return no rows with a table's columns."""
    columns = ", ".join(f"cast(null as {column.duckdb_type}) as {column.name}" for column in table.columns)
    return connection.sql("from range(0)").project(columns)


def _rows(connection: duckdb.DuckDBPyConnection, table: Table, files: list[str]) -> duckdb.DuckDBPyRelation:
    if not files:
        return empty(connection, table)
    rows = connection.read_parquet(files, union_by_name=True, hive_partitioning=False)
    known = "arrived_on <= getvariable('as_of')"
    if table.partition in ("arrived_on", "feed"):
        return rows.filter(known)
    return rows.filter(f"{known} and {table.partition} <= getvariable('as_of')")


def _create_view(
    connection: duckdb.DuckDBPyConnection, schema: str, name: str, rows: duckdb.DuckDBPyRelation
) -> None:
    connection.execute(f"use {schema}")
    rows.create_view(name)
    connection.execute("use main")


def _read_manifest(lake: Path, table: str) -> dict[str, Any]:
    file = clean_dir(lake, table) / "_manifest.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _checked_before(lake: Path, as_of: str) -> dict[str, str]:
    """Return the checksums of the files seen by the last day before this one that passed its checks."""
    earlier = [
        file
        for file in outputs_dir(lake, as_of).parent.glob(f"as_of_date=*/{CHECKED_INPUTS}")
        if file.parent.name < outputs_dir(lake, as_of).name
    ]
    return json.loads(max(earlier).read_text()) if earlier else {}

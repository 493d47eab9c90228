"""Forgetting where pseudonyms are: features, model outputs, published history, reports, the warehouse."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import features_db, receipts_dir
from privacy.parquet_files import rewrite_parquet
from privacy.receipts import Receipts
from privacy.rule import mentions, without_mentions
from qianmian.step import StepError, write_atomically
from warehouse.relations import sql_text
from warehouse.runs import known_runs, record
from warehouse.swap import only_publisher, swap_in

log = logging.getLogger("qianmian")

#: The table that names recommendations: others name them by it, so it is gone through after them.
PARENT = "home_recommendations"
#: Cleaned again from landing, which was gone through before; or not the lake's rows.
_OTHER_PLACES = ("landing", "clean", "erasure_receipts", "tmp")


def forget_in_features(lake: Path, receipts: Receipts, users: frozenset[str]) -> None:
    """Delete users' rows from `features.duckdb` by writing it anew: a DuckDB file keeps the bytes of deleted rows.

    Raises:
        StepError: another program has the file open.

    """
    file = features_db(lake)
    for old in file.parent.glob(f".{file.name}.*.tmp*"):
        old.unlink()
    if not file.exists():
        return
    copy, aside = (file.with_name(f".{file.name}.{os.getpid()}.{name}.tmp") for name in ("copy", "new"))
    try:
        with duckdb.connect(str(file)) as connection:
            connection.execute("checkpoint")
    except duckdb.IOException as error:
        raise StepError(
            f"{file} cannot be written: {str(error).splitlines()[0]}", "Close the program that has it open."
        ) from error
    # Never in place: after a kill the rows would be gone, their bytes would not, and nobody would know.
    shutil.copyfile(file, copy)
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '2GB'")
        # Views name their columns by the catalogue's own name.
        connection.execute(f"attach {sql_text(str(copy))} as {file.stem}")
        removed = delete_rows(connection, users)
        connection.execute(f"attach {sql_text(str(aside))} as aside")
        connection.execute(f"copy from database {file.stem} to aside")
    copy.unlink()
    aside.replace(file)
    receipts.add("features", removed)


def delete_rows(connection: duckdb.DuckDBPyConnection, users: frozenset[str]) -> Counter[str]:
    """Delete all rows of users from a database's tables, and mentions of them from texts."""
    connection.execute("create temp table forgotten (user_id varchar)")
    connection.executemany("insert into forgotten values (?)", [[user_id] for user_id in sorted(users)])
    columns = connection.execute(
        "select database_name || '.' || schema_name, table_name, column_name from duckdb_columns() "
        "join duckdb_tables() using (database_name, schema_name, table_name) "
        "where not duckdb_tables.internal and not temporary and data_type = 'VARCHAR' "
        "order by table_name = ?, table_name", [PARENT],
    ).fetchall()  # fmt: skip
    tables: dict[str, list[str]] = {}
    for schema, table, column in columns:
        database, name = schema.split(".")
        tables.setdefault(f'"{database}"."{name}"."{table}"', []).append(column)
    parents = [name for name in tables if name.endswith(f'."{PARENT}"')]
    connection.execute("create temp table recommended (recommendation_id varchar, user_id varchar)")
    for name in parents:
        connection.execute(
            f"insert into recommended select recommendation_id, user_id from {name} "
            "semi join forgotten using (user_id)"
        )
    removed: Counter[str] = Counter()
    for name, texts in tables.items():
        for key, whose in (("user_id", "forgotten"), ("recommendation_id", "recommended")):
            if key in texts:
                rows = connection.execute(
                    f"select w.user_id, count(*) from {name} as t "
                    f"join {whose} as w on t.{key} = w.{key} group by all"
                ).fetchall()
                connection.execute(f"delete from {name} where {key} in (select {key} from {whose})")
                removed.update(dict(rows))
        for column in texts:
            for (value,) in connection.execute(
                f'select distinct "{column}" from {name} where regexp_matches("{column}", \'[0-9a-f]{{32}}\')'
            ).fetchall():
                if found := set(mentions(value, users)):
                    cleared = without_mentions(value, users)
                    connection.execute(f'update {name} set "{column}" = ? where "{column}" = ?', [cleared, value])
                    removed.update(found)
    return removed


def forget_in_lake(lake: Path, receipts: Receipts, users: frozenset[str], logs: Path | None) -> None:
    """Go through every other file of the lake, and through tasks' logs: rows from Parquet, mentions from texts.

    Raises:
        StepError: a file names a user and is neither Parquet nor text.

    """
    others = {features_db(lake), lake / "at_work.json"}
    files = [
        path
        for folder in (lake, *((logs,) if logs else ()))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in others and path.relative_to(folder).parts[0] not in _OTHER_PLACES
    ]
    for path in files:
        # Left by a step that was killed: nobody reads it. Training alone may be at work now.
        if path.suffix == ".tmp" and path.name.startswith(".") and lake / "models" not in path.parents:
            path.unlink()
    parquet = [path for path in files if path.suffix == ".parquet" and path.exists()]
    named = recommendations(parquet, users)
    for path in sorted(parquet, key=lambda path: (PARENT in path.parts or path.stem == PARENT, path)):
        place = path.relative_to(lake).parts[0]
        receipts.add(place, rewrite_parquet(path, owners_of(users, named), users))
    for path in files:
        if path.suffix != ".parquet" and path.exists() and path != receipts_dir(lake):
            receipts.add("texts", _clear_text(path, users))


def recommendations(files: Iterable[Path], users: frozenset[str]) -> dict[str, str]:
    """Return whose each recommendation of these users is; rows of other tables name only the recommendation."""
    named: dict[str, str] = {}
    for path in files:
        if PARENT in path.parts or path.stem == PARENT:
            rows = pq.read_table(path, columns=["recommendation_id", "user_id"]).to_pydict()
            pairs = zip(rows["recommendation_id"], rows["user_id"], strict=True)
            named.update((name, user_id) for name, user_id in pairs if user_id in users)
    return named


def owners_of(users: frozenset[str], named: dict[str, str]) -> Callable[[pa.Table], Sequence[str | None]]:
    """Return what says whose each row of a table is: by user, else by recommendation."""

    def owners(rows: pa.Table) -> list[str | None]:
        whose: list[str | None] = [None] * rows.num_rows
        if "recommendation_id" in rows.column_names and named:
            whose = [named.get(name) for name in rows["recommendation_id"].to_pylist()]
        if "user_id" in rows.column_names:
            ids = rows["user_id"].to_pylist()
            whose = [user_id if user_id in users else other for user_id, other in zip(ids, whose, strict=True)]
        return whose

    return owners


def _clear_text(path: Path, users: frozenset[str]) -> Counter[str]:
    content = path.read_bytes()
    found = Counter(mentions(content.decode("latin-1"), users))
    if found:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise StepError(
                f"{path} names a user who asked to be forgotten, and is no text that a name can be taken out of.",
                "Delete it if it is not needed (what the daily run makes, it makes again), and run this again.",
            ) from None
        write_atomically(path, without_mentions(text, users))
    return found


def forget_in_warehouse(lake: Path, warehouse: Path, users: frozenset[str]) -> None:
    """Make the warehouse again from the history, gone through before, and clear the texts of its runs."""
    if not warehouse.exists():
        return
    with only_publisher(warehouse):
        runs = [
            replace(
                run,
                decision=without_mentions(run.decision, users),
                report=run.report and without_mentions(run.report, users),
            )
            for run in known_runs(lake, warehouse)
        ]
        swap_in(warehouse, lake, runs)
        for run in runs:
            record(lake, run)


def champions(lake: Path) -> list[str]:
    """Return the versions that serve now, of each kind of model."""
    found = []
    for folder in sorted((lake / "models").glob("*/promotions")):
        promotions = sorted(folder.glob("[0-9]*.json"))
        if promotions:
            found.append(str(json.loads(promotions[-1].read_text())["version"]))
    return found

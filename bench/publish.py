"""How fast rows get into PostgreSQL: ours beside plain COPY and SQLAlchemy's executemany, in one run.

    python -m bench.publish [--rows 10000000] [--executemany-rows 200000] [--repeats 3]

Makes a DuckDB table shaped like home_recommendations and starts a PostgreSQL of its own on the loopback interface.
`ours` is what publishing does: binary COPY from DuckDB's batches into a table with its key and index, both kept
while rows come in. `copy` is COPY of a CSV file that lies ready, into an equal table: the limit, the file's making
not counted. `copy without key` shows what key and index cost. executemany is SQLAlchemy Core's insert of a list,
which sends many rows a statement; it inserts fewer rows, because it is slow, and its rate counts. Each is timed
`--repeats` times into an empty table, in turns; medians are printed. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as bulk
import duckdb
import psycopg2
import sqlalchemy

from expectations.tables import PUBLISHED
from qianmian.postgres import Postgres
from warehouse.targets.postgres_layout import INDEXES, create_index, create_table
from warehouse.targets.postgres_sets import ingest

TABLE = PUBLISHED["home_recommendations"]
LIST_LENGTH = 20


def make_rows(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Leave a table of `rows` made-up recommendations, sorted by their key, called as the real one."""
    made = {
        "user_id": "md5(cast(n // 20 as varchar))",
        "surface": "'home'",
        "rank": "n % 20 + 1",
        "recommendation_id": "md5(cast(n as varchar))",
        "item_id": "concat('p', lpad(cast(n * 7919 % 20000 as varchar), 6, '0'))",
        "score": "1.0 / (n % 20 + 1)",
        "probability": "0.1 / (n % 20 + 1)",
        "candidate_source": "'item_to_item'",
        "reason_code": "'because_you_bought'",
        "reason_text": "concat('Because you bought item ', n * 31 % 20000)",
        "reason_text_zh": "concat('因为你买过商品 ', n * 31 % 20000)",
        "evidence_type": "'item'",
        "evidence_id": "concat('p', lpad(cast(n * 31 % 20000 as varchar), 6, '0'))",
        "contribution": "0.5 / (n % 20 + 1)",
        "is_exploration": "false",
        "is_promoted": "n % 50 = 0",
        "propensity": "1.0",
        "as_of_date": "date '2026-10-31'",
        "run_id": "'manual__2026-11-01T02:00:00+00:00'",
        "model_version": "'blend-1'",
        "generated_at": "timestamp '2026-11-01 02:00:00'",
    }
    columns = ", ".join(f"cast({made.get(c.name, 'null')} as {c.duckdb_type}) as {c.name}" for c in TABLE.columns)
    connection.execute(
        f"create table {TABLE.name} as select {columns} from range({rows}) as numbers(n) "
        f"order by {', '.join(TABLE.key)}"
    )


def emptied(address: str, *, has_key: bool = True) -> psycopg2.extensions.connection:
    """Return a connection to a server with the table empty and checkpointed."""
    connection = psycopg2.connect(address)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("drop schema if exists bench cascade")
        cursor.execute("create schema bench")
        cursor.execute(create_table("bench", TABLE))
        if has_key:
            cursor.execute(create_index("bench", TABLE.name, INDEXES[TABLE.name]))
        else:
            cursor.execute(f"alter table bench.{TABLE.name} drop constraint {TABLE.name}_pkey")
        cursor.execute("checkpoint")
    return connection


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Return the seconds that `work` took, and the rows it says it wrote."""
    started = time.perf_counter()
    rows = work()
    return time.perf_counter() - started, rows


def main() -> None:
    """Run all ways in turns and print their rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the table (default: %(default)s)")
    parser.add_argument(
        "--executemany-rows", type=int, default=200_000, help="that executemany inserts (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each (default: %(default)s)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    os.environ["PGPASSWORD"] = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder) / "postgres", os.environ["PGPASSWORD"])
        server.start()
        try:
            seconds = run(server, Path(folder), args)
        finally:
            server.stop()
            if server.moved_to:
                shutil.rmtree(server.moved_to)
    rates = {name: statistics.median(rows / took for took, rows in of) for name, of in seconds.items()}
    print(f"{'way':20} {'rows/s':>10} {'of ours':>8}  seconds")
    for name, rate in rates.items():
        print(
            f"{name:20} {rate:10,.0f} {rate / rates['ours']:8.2f}  {[round(took, 1) for took, _ in seconds[name]]}"
        )
    print(
        json.dumps(
            {
                "bench": "publish",
                "rows": args.rows,
                "rows_per_second": {name: round(rate) for name, rate in rates.items()},
                "ours_over_executemany": round(rates["ours"] / rates["executemany"], 2),
                "ours_over_copy": round(rates["ours"] / rates["copy"], 2),
            }
        )
    )


def run(server: Postgres, folder: Path, args: argparse.Namespace) -> dict[str, list[tuple[float, int]]]:
    """Return each way's seconds and rows, one pair a repeat."""
    source = duckdb.connect(str(folder / "source.duckdb"), config={"memory_limit": "1GB", "threads": 2})
    make_rows(source, args.rows)
    address = f"host=127.0.0.1 port={server.port} user=airflow dbname=postgres"
    csv = folder / "rows.csv"
    source.execute(f"copy {TABLE.name} to '{csv}' (format csv, header false)")
    some = [
        dict(zip(TABLE.column_names, row, strict=True))
        for row in source.table(TABLE.name).limit(args.executemany_rows).fetchall()
    ]
    engine = sqlalchemy.create_engine(server.url("postgresql+psycopg2"))
    columns: list[Any] = [sqlalchemy.column(name) for name in TABLE.column_names]
    insert = sqlalchemy.table(TABLE.name, *columns, schema="bench").insert()

    def ours() -> int:
        with bulk.connect(address) as loader, loader.cursor() as cursor:
            rows = ingest(cursor, source.table(TABLE.name), TABLE.name, "bench")
            loader.commit()
        return rows

    def copy(connection: Any) -> Callable[[], int]:
        def work() -> int:
            with connection.cursor() as cursor, csv.open() as file:
                cursor.copy_expert(f"copy bench.{TABLE.name} from stdin (format csv)", file, size=1 << 20)
                return int(cursor.rowcount)

        return work

    def executemany() -> int:
        with engine.begin() as connection:
            connection.execute(insert, some)
        return len(some)

    seconds: dict[str, list[tuple[float, int]]] = {}
    for repeat in range(args.repeats):
        for name in ("ours", "copy", "copy without key", "executemany"):
            connection = emptied(address, has_key=name != "copy without key")
            work = {"ours": ours, "executemany": executemany}.get(name) or copy(connection)
            found = timed(work)
            seconds.setdefault(name, []).append(found)
            logging.info("%d of %d: %s, %d rows in %.1f s", repeat + 1, args.repeats, name, found[1], found[0])
            connection.close()
    return seconds


if __name__ == "__main__":
    main()

"""A small shop after two published days, in every target: one of its users is to be forgotten."""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq

from privacy import close_receipts, forget_in_postgres, forget_in_s3, forget_users
from privacy.s3_versions import Version, VersionedPrefix
from tests.candidate_tables import (
    GENERATED_AT,
    candidate_tables,
    check_result,
    user_id,
    write_candidates,
    write_check_results,
)
from tests.spark_jobs.small_shop import ITEMS, SmallShop, event, pseudonym
from warehouse.publish import publish
from warehouse.targets import postgres, s3

DAYS = ("2026-10-30", "2026-10-31")
AT = f"{DAYS[0]}T10:00:00Z"
ASKED = "2026-10-31T12:00:00Z"
GONE = "customer-of-old"
THEIRS = pseudonym(GONE)
BUCKET = "s3://tables-with-versions/shop"


class PublishedShop(SmallShop):
    """Feeds of every format, two days of history; PostgreSQL and S3 where their addresses are given."""

    def __init__(self, folder: Path, address: str = "", endpoint: str = "") -> None:
        super().__init__(folder)
        self.folder, self.address, self.endpoint = folder, address, endpoint
        self.warehouse = folder / "shop" / "warehouse.duckdb"

    def hand_over(self) -> None:
        """Write feeds; each file holds the user's rows beside those of others, one of them nobody else's."""
        self.write("items/catalogue.csv", ITEMS)
        users = [f"u{number}" for number in range(1, 12)]
        self.write(f"users/{DAYS[0]}.csv", "user_id,language\n" + "".join(f"{u},zh\n" for u in [GONE, *users]))
        first = [event(f"a{u}", AT, u) for u in [*users, GONE]]
        broken = f'{{"event_id": "b1", "user_id": "{GONE}", "event_at": "'
        self.write(f"events/{DAYS[0]}.jsonl", "".join(json.dumps(row) + "\n" for row in first) + broken + "\n")
        later = [event(f"c{u}", f"{DAYS[1]}T09:00:00Z", u) for u in [GONE, *users]]
        back = event("back", f"{DAYS[1]}T13:00:00Z", "u1")
        self.write(
            f"events/{DAYS[1]}.jsonl.gz",
            gzip.compress("".join(json.dumps(r) + "\n" for r in [*later, back]).encode()),
        )
        self.write(f"events/only-{DAYS[1]}.jsonl", [event("d1", AT, GONE)])
        reviews = [{"review_id": f"r{u}", "user_id": u, "item_id": "i1", "created_at": AT} for u in (GONE, "u1")]
        target = self.source / f"reviews/{DAYS[0]}.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(reviews), target)
        self.write(f"erasure_requests/{DAYS[1]}.csv", f"user_id,requested_at\n{GONE},{ASKED}\n")

    def publish_days(self) -> None:
        """Publish both days; one user of their tables is the one to forget."""
        for number, day in enumerate(DAYS):
            self.publish_day(day, number)
        with duckdb.connect(str(self.lake / "features.duckdb")) as features:
            features.execute("create table features.features.seen as select ? as user_id, 3 as n", [THEIRS])

    def publish_day(self, day: str, number: int) -> None:
        """Publish one day as run `run-<number>`."""
        write_candidates(self.lake, _renamed(candidate_tables(day, f"run-{number}", users=4)))
        named = check_result(observed=f"seen first at {THEIRS}")
        write_check_results(self.lake, day, f"run-{number}", [named])
        report = self.lake / "runs" / f"run-{number}" / "checks_tables.html"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(f"<td>user {THEIRS} at row 3</td>")
        started = GENERATED_AT + timedelta(days=number)
        publish(self.lake, day, f"run-{number}", self.warehouse, started, "c" * 64)

    def publish_targets(self) -> None:
        """Bring the targets up to the warehouse."""
        postgres.publish(self.address, "bi", self.warehouse)
        s3.publish(BUCKET, self.endpoint, self.lake, self.warehouse)

    def more(self) -> argparse.Namespace:
        """Return the arguments of the privacy steps."""
        return argparse.Namespace(
            **vars(self.args()),
            warehouse=self.warehouse,
            feeds=None,
            truth=None,
            logs=None,
            address=self.address,
            schema="bi",
            to=BUCKET if self.endpoint else "",
            endpoint_url=self.endpoint,
        )

    def forget(self) -> dict[str, Any]:
        """Forget everywhere and close the receipts; return what closing said."""
        args = self.more()
        forget_users.forget_users(args)
        if self.address:
            forget_in_postgres.forget_in_postgres(args)
            forget_in_s3.forget_in_s3(args)
        return close_receipts.close_receipts(args)

    def receipts(self) -> list[dict[str, Any]]:
        """Read all receipts."""
        return [json.loads(path.read_text()) for path in (self.lake / "erasure_receipts").glob("[0-9a-f]*.json")]

    def found(self, *needles: str) -> list[str]:
        """Search every file, table and object but the receipts for any of these texts: a search of its own."""
        return sorted(
            {place for place, content in self._contents() if any(n.encode() in content for n in needles)}
        )

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        yield from contents(self.folder / "shop")
        if self.address:
            yield from self._contents_of_targets()

    def _contents_of_targets(self) -> Iterator[tuple[str, bytes]]:
        with psycopg2.connect(self.address) as server, server.cursor() as cursor:
            cursor.execute(
                "select table_schema, table_name from information_schema.tables "
                "where table_schema like 'bi%' and table_type = 'BASE TABLE'"
            )
            for schema, table in cursor.fetchall():
                cursor.execute(f'select * from "{schema}"."{table}"')
                yield f"postgres {schema}.{table}", str(cursor.fetchall()).encode()
        server.close()
        prefix, local = VersionedPrefix(BUCKET, self.endpoint), self.folder / "object"
        for key in prefix.keys(""):
            assert prefix.bring(Version(key), local)
            content = local.read_bytes()
            yield f"s3 {key}", content
            if key.endswith(".parquet"):
                yield f"s3 {key}", str(pq.ParquetFile(local).read().to_pylist()).encode()


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what every file of a folder holds, but for receipts: its bytes, and what is packed in them."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.parent.name == "erasure_receipts":
            continue
        try:
            yield str(path), path.read_bytes()
        except FileNotFoundError:  # of a running process, gone meanwhile
            continue
        if path.suffix == ".gz":
            yield str(path), gzip.decompress(path.read_bytes())
        elif path.suffix == ".parquet":
            yield str(path), str(pq.ParquetFile(path).read().to_pylist()).encode()
        elif path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as connection:
                for name, table in connection.sql(
                    "select database_name || '.' || schema_name || '.' || table_name, table_name "
                    "from duckdb_tables()"
                ).fetchall():
                    rows = connection.sql(f"select * from {name}").fetchall()
                    yield f"{path} {table}", str(rows).encode()


def _renamed(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [{k: THEIRS if v == user_id(1) else v for k, v in row.items()} for row in rows]
        for name, rows in tables.items()
    }

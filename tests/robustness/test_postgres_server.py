"""PostgreSQL stopped in the midst of a publishing, and with a full disk: the set that stands is read all along."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from expectations.tables import PUBLISHED
from qianmian.postgres import Postgres
from qianmian.step import is_disk_full
from tests.candidate_tables import GENERATED_AT
from tests.robustness.conftest import SmallDisk, prepare_run
from warehouse.publish import publish
from warehouse.targets import postgres
from warehouse.targets.postgres_layout import Layout

PASSWORD = "for-tests-only"
LAYOUT = Layout("shop", PUBLISHED)


class Target:
    """A server, and a lake and a warehouse to bring it up to."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self.lake, self.warehouse = server, folder / "lake", folder / "warehouse.duckdb"
        self._days = iter(range(100))

    @property
    def address(self) -> str:
        """How to reach the server, at the port of its last start."""
        return f"host=127.0.0.1 port={self.server.port} user=airflow dbname=postgres"

    def run_day(self, day: str, run_id: str, users: int = 3) -> None:
        """Publish a day in the warehouse: PostgreSQL is to follow."""
        prepare_run(self.lake, day, run_id, users)
        moment = GENERATED_AT + timedelta(hours=next(self._days))
        publish(self.lake, day, run_id, self.warehouse, moment, "c")

    def publish(self) -> dict[str, Any]:
        """Bring PostgreSQL up to the warehouse."""
        return postgres.publish(self.address, "shop", self.warehouse)

    def start_publishing(self) -> subprocess.Popen[str]:
        """Start the step's command."""
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "warehouse.targets.postgres", "--lake", str(self.lake)),
                *("--as-of", "2026-11-01", "--warehouse", str(self.warehouse)),
                *("--address", self.address, "--schema", "shop"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the server, through a connection of its own."""
        connection = psycopg2.connect(self.address)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def current(self) -> set[str]:
        """Return the runs whose rows the views show: one."""
        runs = " union ".join(f"select run_id from shop.{name}" for name in PUBLISHED)
        return {run_id for (run_id,) in self.ask(runs)}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Postgres]]:
    """Start servers with their files in a folder."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    started: list[Postgres] = []

    def start_in(folder: Path) -> Postgres:
        started.append(Postgres(folder, PASSWORD))
        started[-1].start()
        return started[-1]

    yield start_in
    for server in started:
        server.stop()
        if server.moved_to:
            shutil.rmtree(server.moved_to)


HOLD = """
create or replace function public.hold() returns trigger language plpgsql as
$$ begin perform pg_sleep(60); return null; end $$;
create trigger hold after insert or update on {table} for each statement execute function public.hold()
"""


def test_stopped_in_mid_publish(start: Callable[[Path], Postgres], tmp_path: Path) -> None:
    """While the last table is copied, and in the very transaction that makes the new set current."""
    target = Target(start(tmp_path / "postgres"), tmp_path)
    target.run_day("2026-10-31", "r1")
    first = target.publish()
    last_tables = [
        f'"{LAYOUT.slot(slot)}".{list(LAYOUT.tables)[-1]}' for slot in (1, 2, 3) if slot != first["set"]
    ]
    moments = {"copy": last_tables, "exchange": ["shop_sets.current_set"]}
    for number, (moment, tables) in enumerate(moments.items()):
        for table in tables:
            target.ask(HOLD.format(table=table))
        target.run_day("2026-11-01", f"r2-{moment}", users=4 + number)
        process = target.start_publishing()
        held = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        deadline = time.monotonic() + 60
        while target.ask(held) == [(0,)]:
            assert process.poll() is None, process.stderr and process.stderr.read()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert target.current() == {"r1"}
        target.server.stop()
        assert process.stderr
        said = process.stderr.read()
        assert process.wait() == 1
        assert "ERROR in publish_postgres" in said
        assert "WHAT TO DO: run it again" in said
        target.server.start()
        assert target.current() == {"r1"}
        for table in tables:
            target.ask(f"drop trigger hold on {table}")
    assert target.publish()["latest_run"] == "r2-exchange"
    assert target.current() == {"r2-exchange"}
    schemas = target.ask("select nspname from pg_namespace where nspname like 'shop%' order by 1")
    assert [name for (name,) in schemas] == sorted(["shop", "shop_sets", *(LAYOUT.slot(n) for n in (1, 2, 3))])


def test_full_disk(
    start: Callable[[Path], Postgres], small_disk: Callable[[int], SmallDisk], tmp_path: Path
) -> None:
    disk = small_disk(256)
    target = Target(start(disk.folder / "postgres"), tmp_path)
    assert not target.server.moved_to
    target.run_day("2026-10-31", "r1")
    target.publish()
    target.run_day("2026-11-01", "r2", users=300)
    disk.fill(leaving=200_000)
    with pytest.raises(OSError, match="The disk of the PostgreSQL server is full") as stopped:
        target.publish()
    assert is_disk_full(stopped.value)
    assert target.current() == {"r1"}
    disk.make_room()
    assert target.publish()["latest_run"] == "r2"
    assert target.current() == {"r2"}

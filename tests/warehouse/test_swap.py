"""The swap under SIGKILL and under a second publisher, watched by a reader that never stops asking."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import PUBLISHED, history_stem
from qianmian.step import ShopBusyError
from warehouse.swap import only_publisher

RunDay = Callable[..., dict[str, Any]]
KILLS = 20
PUBLISHES = int(os.environ.get("QIANMIAN_PUBLISHES", "6"))


def command(lake: Path, warehouse: Path, as_of: str, run_id: str) -> list[str]:
    return [
        *(sys.executable, "-m", "warehouse.publish", "--lake", str(lake), "--as-of", as_of, "--run-id", run_id),
        *("--warehouse", str(warehouse), "--generated-at", "2026-11-02T06:00:00", "--config-hash", "c"),
    ]


class Reader(threading.Thread):
    """Opens the warehouse again and again and notes whatever is not one whole set."""

    def __init__(self, warehouse: Path) -> None:
        super().__init__()
        self.warehouse = warehouse
        self.faults: list[str] = []
        self.seen: set[str] = set()
        self.looks = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self.look()
            except (duckdb.Error, OSError) as error:
                self.faults.append(repr(error))
            self.looks += 1

    def look(self) -> None:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            latest = [
                row[0] for row in connection.execute("select run_id from pipeline_runs where is_latest").fetchall()
            ]
            sets = {
                name: connection.execute(f"select run_id, count(*) from {name} group by 1").fetchall()
                for name in PUBLISHED
            }
            history = connection.execute(
                "select distinct run_id from user_portraits_history"
                " where as_of_date = (select max(as_of_date) from user_portraits_history)"
            ).fetchall()
        runs = {run_id for rows in sets.values() for run_id, _ in rows}
        if runs != set(latest) or history != [(run_id,) for run_id in latest]:
            self.faults.append(f"mixed: {latest} {sets} {history}")
        if sets["home_recommendations"][0][1] != 20 * sets["user_portraits"][0][1]:
            self.faults.append(f"partial: {sets}")
        self.seen |= runs


@pytest.fixture
def reader(warehouse: Path) -> Any:
    thread = Reader(warehouse)
    yield thread
    thread.stopped.set()
    if thread.is_alive():
        thread.join()


def test_killed_at_any_moment_a_reader_sees_whole_sets_and_the_next_publishing_succeeds(
    run_day: RunDay, prepare: Callable[..., None], lake: Path, warehouse: Path, reader: Reader
) -> None:
    run_day("2026-10-31", "first", users=4)
    reader.start()
    moments = random.Random(20261031)
    killed = whole_runs = 0
    seconds = 2.0
    while killed < KILLS and whole_runs < 3 * KILLS:
        run_id = f"run{killed}_{whole_runs}"
        prepare("2026-11-01", run_id, users=5 + killed % 3)
        started = time.monotonic()
        process = subprocess.Popen(command(lake, warehouse, "2026-11-01", run_id), stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=seconds * moments.uniform(0.3, 1.0))
            whole_runs += 1
            seconds = min(seconds, time.monotonic() - started)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
    prepare("2026-11-01", "last", users=9)
    subprocess.run(command(lake, warehouse, "2026-11-01", "last"), check=True, capture_output=True)
    reader.stopped.set()
    reader.join()

    assert reader.faults == []
    assert killed == KILLS
    assert reader.looks > KILLS
    assert "first" in reader.seen
    reader.look()
    assert "last" in reader.seen
    # Nothing is left beside the warehouse but the lock.
    assert sorted(path.name for path in warehouse.parent.glob(".*")) == [".warehouse.duckdb.lock"]
    portraits = lake / "published" / "user_portraits" / "as_of_date=2026-11-01"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        published = connection.execute("select run_id, published_at from pipeline_runs").fetchall()
    assert {path.stem for path in portraits.iterdir()} <= {history_stem(*run) for run in published}


def test_a_reader_sees_whole_sets_through_many_publishings(run_day: RunDay, reader: Reader) -> None:
    for n in range(PUBLISHES + 1):
        run_day(f"2026-10-{1 + n // 2:02}", f"r{n}", users=3 + n % 3)
        if n == 0:
            reader.start()
        looks = reader.looks  # the look under way may have begun before: the one after it has not
        while reader.is_alive() and reader.looks < looks + 2:
            time.sleep(0.01)
    reader.stopped.set()
    reader.join()
    assert reader.faults == []
    assert reader.seen == {f"r{n}" for n in range(PUBLISHES + 1)}


def test_two_publishers_at_once_take_turns(prepare: Callable[..., None], lake: Path, warehouse: Path) -> None:
    prepare("2026-11-01", "r1")
    both = [
        subprocess.Popen(command(lake, warehouse, "2026-11-01", "r1"), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate() and process.returncode for process in both] == [0, 0]
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        assert connection.execute("select run_id, is_latest from pipeline_runs").fetchall() == [("r1", True)]


def test_a_publisher_that_never_ends_is_named(warehouse: Path) -> None:
    with (
        only_publisher(warehouse),
        pytest.raises(ShopBusyError, match=r"has held .*warehouse\.duckdb for 0 seconds"),
        only_publisher(warehouse, patience_s=0.2),
    ):
        pass

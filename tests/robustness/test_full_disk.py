"""A disk that fills up under a step: the error says so, what stands stays readable, room is all that it takes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import CLEAN, PUBLISHED
from qianmian.step import is_disk_full
from tests.dbt_project.small_lake import PROJECT, SmallLake
from tests.robustness.conftest import SmallDisk, prepare_run
from tests.spark_jobs.small_shop import KEY, SmallShop, event

SmallDisks = Callable[[int], SmallDisk]
DAY, NEXT_DAY = "2026-10-31", "2026-11-01"
ITEMS = "item_id,title\ni1,One\n"


def run(module: str, lake: Path, day: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a step's command."""
    common = ("--lake", str(lake), "--as-of", day, "--run-id", f"run-{day}")
    return subprocess.run([sys.executable, "-m", module, *common, *arguments], capture_output=True, text=True)


def said_disk_full(done: subprocess.CompletedProcess[str], where: Path) -> None:
    """Hold a step's end against what the person on call needs: that a disk is full, which, what to do."""
    assert done.returncode == 1, done.stderr[-2000:]
    last = done.stderr[done.stderr.rindex("ERROR in ") :]
    assert "A disk is full." in last
    assert f" MiB at {where}" in last
    assert "WHAT TO DO: make room" in last


def left_overs(folder: Path) -> list[Path]:
    """Return hidden and temporary files, but for locks."""
    return [
        path
        for path in folder.rglob("*")
        if ".tmp" in path.name
        or (path.name.startswith(".") and not path.name.endswith(".lock") and path.name != ".lock")
    ]


def test_landing(small_disk: SmallDisks, tmp_path: Path) -> None:
    disk = small_disk(4)
    lake, shop = disk.folder / "lake", SmallShop(tmp_path)
    shop.write("items/catalogue.csv", ITEMS)
    for number in range(6):
        shop.write(f"events/2026-10-3{number % 2}-{number}.jsonl", random.Random(number).randbytes(1 << 20))
    source = ("--source", str(shop.source))
    done = run("feeds.land", lake, DAY, *source)
    assert done.returncode == 1
    assert "A disk is full." in done.stderr
    landed = {path.name for path in (lake / "landing" / "events").iterdir()}
    assert 0 < len(landed) < 6
    assert left_overs(lake / "landing") == []
    subprocess.run(["mount", "-o", "remount,size=20m", disk.folder], check=True)
    assert run("feeds.land", lake, DAY, *source).returncode == 0
    for file in (shop.source / "events").iterdir():
        assert (lake / "landing" / "events" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.usefixtures("spark")
def test_cleaning(small_disk: SmallDisks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
    disk = small_disk(8)
    shop = SmallShop(disk.folder)
    shop.write("items/catalogue.csv", ITEMS)
    shop.write(f"events/{DAY}.jsonl", [event("first")])
    shop.clean()
    before = {table: (shop.manifest(table), shop.rows(table)) for table in CLEAN}
    words = random.Random(1)
    queries = [words.randbytes(400).hex() for _ in range(1000)]
    shop.write(f"events/{NEXT_DAY}.jsonl", [event(f"e{n}", NEXT_DAY, query=q) for n, q in enumerate(queries)])
    shop.land()
    disk.fill(leaving=300_000)
    with pytest.raises(Exception) as stopped:  # noqa: PT011 - of Java's, of ours: what it says is what counts
        shop.clean()
    assert is_disk_full(stopped.value)
    assert {table: (shop.manifest(table), shop.rows(table)) for table in CLEAN} == before
    assert {path.name for path in (shop.lake / "clean" / "events").glob("commit=*")} == {
        file.split("/")[0] for part in before["events"][0]["partitions"].values() for file in part["files"]
    }
    disk.make_room()
    assert shop.clean()["events"]["clean"] == 1001


def dbt_build(lake: Path, day: str) -> subprocess.CompletedProcess[str]:
    """Build the features by the command that the DAG gives, its log and all on the lake's disk."""
    values = {"as_of_date": day, "run_id": "r", "generated_at": f"{day} 02:00:00", "currency": "CNY"}
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("dbt"), "build", "--select=tag:features", "--no-use-colors"),
            *(f"--project-dir={PROJECT}", f"--profiles-dir={PROJECT}", "--exclude-resource-type=unit_test"),
            *(f"--target-path={lake}/dbt_target", f"--log-path={lake}/dbt_logs", f"--vars={json.dumps(values)}"),
        ],
        env={**os.environ, "QIANMIAN_LAKE": str(lake), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
    )


def test_features(small_disk: SmallDisks) -> None:
    disk = small_disk(64)
    lake = SmallLake(disk.folder / "lake")
    moment = datetime(2026, 10, 31, 10)
    item = {"item_id": "i1", "title": "One", "is_active": True, "arrived_on": DAY}
    lake.put("items", [item])
    rows = [
        {
            "event_id": f"e{n}", "event_at": moment, "event_date": DAY, "arrived_on": DAY,
            "user_id": f"{n % 50:032}", "event_type": "purchase", "item_id": "i1", "quantity": "1",
            "unit_price": "2",
        }
        for n in range(200)
    ]  # fmt: skip
    lake.put("events", rows)
    lake.build(DAY)
    asked = "select * from features.features.user_features order by all"
    before = lake.query(asked)
    moved = {"event_date": NEXT_DAY, "arrived_on": NEXT_DAY}
    later = [{**row, "event_id": f"f{row['event_id']}", **moved} for row in rows]
    lake.put("events", [*rows, *later])
    disk.fill(leaving=100_000)
    done = dbt_build(lake.path, NEXT_DAY)
    assert done.returncode != 0
    assert "No space left on device" in done.stdout + done.stderr, done.stdout[-3000:]
    disk.make_room()
    lake.build(NEXT_DAY)
    lake.build(DAY)
    assert lake.query(asked) == before


def test_publishing(small_disk: SmallDisks) -> None:
    disk = small_disk(64)
    lake, warehouse = disk.folder / "lake", disk.folder / "warehouse.duckdb"
    prepare_run(lake, DAY, f"run-{DAY}", 3)
    arguments = ("--warehouse", str(warehouse), "--generated-at", "2026-11-02T06:00:00", "--config-hash", "c")
    assert run("warehouse.publish", lake, DAY, *arguments).returncode == 0
    prepare_run(lake, NEXT_DAY, f"run-{NEXT_DAY}", 200)

    def published() -> list[tuple[Any, ...]]:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            tables = " union all ".join(f"select run_id from {table}" for table in PUBLISHED)
            return connection.execute(f"select distinct run_id from ({tables})").fetchall()

    # Full at once, in the midst of the history's files, and in the midst of the warehouse's own.
    for leaving in (0, 60_000, 2_000_000):
        disk.fill(leaving)
        said_disk_full(run("warehouse.publish", lake, NEXT_DAY, *arguments), lake)
        assert published() == [(f"run-{DAY}",)]
        assert left_overs(disk.folder) == []
        disk.make_room()
    assert run("warehouse.publish", lake, NEXT_DAY, *arguments).returncode == 0
    assert published() == [(f"run-{NEXT_DAY}",)]
    assert left_overs(disk.folder) == []

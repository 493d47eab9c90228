"""Garbage in place of a feed: an error that names the file, the refusal told, yesterday's tables left in place.

Every kind of garbage in every feed is in tests/spark_jobs/test_refusals.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.acceptance.conftest import FIRST_DAY, NEXT_DAY, Shop
from tests.acceptance.reader import look

#: What runs until the feeds are clean; a later step never starts once one of these has failed.
CLEANING = ("land", "clean")


@pytest.fixture
def copy(shop: Shop, tmp_path: Path) -> Shop:
    """The shop as after its first day, its feeds in a folder of their own (adapter: feeds)."""
    copy = Shop(
        tmp_path / "home",
        name="garbled",
        source=str(tmp_path / "feeds"),
        environ={"QIANMIAN_ADAPTER": "feeds"},
    )
    shutil.copytree(shop.home / "secrets", copy.home / "secrets")
    shutil.copytree(
        shop.home / "simulated", copy.home / "garbled", ignore=shutil.ignore_patterns("truth", "feeds")
    )
    shutil.copytree(shop.home / "simulated" / "feeds", tmp_path / "feeds")
    return copy


def tear(folder: Path, feed: str) -> Path:
    """Put a truncated Parquet file in place of a feed's file of the next day."""
    for file in folder.glob(f"{feed}/*{NEXT_DAY}*"):
        file.unlink()
    whole, torn = folder / feed / "whole", folder / feed / f"{NEXT_DAY}.parquet"
    duckdb.sql("select i::varchar as event_id, 'x' as b from range(5000) t(i)").write_parquet(str(whole))
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    return torn


def test_refusal_is_told_and_yesterdays_tables_stay(copy: Shop) -> None:
    torn = tear(Path(copy.source), "events")
    assert copy.run_step("land", NEXT_DAY, "garbled").returncode == 0
    done = copy.run_step("clean", NEXT_DAY, "garbled")
    assert done.returncode == 2
    said = (done.stdout + done.stderr).strip().splitlines()
    error = next(i for i, line in enumerate(said) if line.startswith("ERROR in "))
    assert torn.name in said[error]
    assert any(line.startswith("WHAT TO DO: ") for line in said[error:])
    assert not any("Traceback" in line for line in said)
    assert look(copy.warehouse) is None
    assert copy.run_step("record_refusal", NEXT_DAY, "garbled").returncode == 0
    assert look(copy.warehouse) is None
    with duckdb.connect(str(copy.warehouse), read_only=True) as connection:
        runs = connection.execute("select run_id, status, is_latest, as_of_date::varchar from pipeline_runs")
        assert sorted(runs.fetchall()) == [
            ("first", "published", True, FIRST_DAY),
            ("garbled", "refused", False, NEXT_DAY),
        ]


def test_a_mended_file_is_taken_in_its_place(copy: Shop, tmp_path: Path) -> None:
    """The shop hands the file over again under the same name: the run goes through."""
    good = next(Path(copy.source).glob(f"items/*{NEXT_DAY}*"))
    kept = tmp_path / good.name
    shutil.copy(good, kept)
    good.write_bytes(kept.read_bytes()[:100])
    assert copy.run_step("land", NEXT_DAY, "torn").returncode == 0
    assert copy.run_step("clean", NEXT_DAY, "torn").returncode == 2
    shutil.copy(kept, good)
    if good.suffix == ".parquet":
        assert pq.read_metadata(good).num_rows > 0
    for step in CLEANING:
        done = copy.run_step(step, NEXT_DAY, "mended")
        assert done.returncode == 0, done.stderr[-3000:]

"""Garbage in place of a feed: a clear error that names the file, or quarantine; yesterday's tables stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from expectations.tables import FEEDS
from tests.acceptance.conftest import FIRST_DAY, NEXT_DAY, Shop
from tests.acceptance.reader import look

GARBAGE = ("empty", "truncated_parquet", "wrong_encoding", "column_missing", "one_line")
#: What runs until the feeds are clean; a later step never starts once one of these has failed.
CLEANING = ("land", "clean_entities", "clean_actions")


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


def garble(folder: Path, feed: str, kind: str) -> Path:
    """Put one bad file for the next day in place of the feed's own."""
    for file in folder.glob(f"{feed}/*{NEXT_DAY}*"):
        file.unlink()
    columns = FEEDS[feed].column_names
    path = folder / feed / f"{NEXT_DAY}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated_parquet":
        path = path.with_suffix(".parquet")
        whole = path.with_name("whole")
        duckdb.sql("select i::varchar as a, 'x' as b from range(5000) t(i)").write_parquet(str(whole))
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        whole.unlink()
    elif kind == "wrong_encoding":
        path.write_bytes((",".join(columns) + "\n").encode() + "中文标题".encode("gb18030") * 20 + b"\n")
    elif kind == "column_missing":
        key = FEEDS[feed].required[0]
        path.write_text(",".join(c for c in columns if c != key) + "\n" + "," * (len(columns) - 2) + "\n")
    else:
        with path.open("wb") as file:
            for _ in range(100):
                file.write(b"x" * (1 << 20))
    return path


@pytest.mark.parametrize("feed", ["events", "items"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_stops_the_run_in_words(copy: Shop, feed: str, kind: str) -> None:
    """The two required feeds, each kind; every feed with its reader is in tests/spark_jobs."""
    path = garble(Path(copy.source), feed, kind)
    for step in CLEANING:
        done = copy.run_step(step, NEXT_DAY, "garbled")
        if done.returncode:
            break
    said = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode == 2, "\n".join(said[-20:])
    error = next(i for i, line in enumerate(said) if line.startswith("ERROR in "))
    assert path.name in said[error]
    assert any(line.startswith("WHAT TO DO: ") for line in said[error:])
    assert not any("Traceback" in line for line in said)
    assert look(copy.warehouse) is None


def test_refusal_is_told_and_yesterdays_tables_stay(copy: Shop) -> None:
    garble(Path(copy.source), "events", "truncated_parquet")
    assert copy.run_step("land", NEXT_DAY, "garbled").returncode == 0
    assert copy.run_step("clean_entities", NEXT_DAY, "garbled").returncode == 0
    assert copy.run_step("clean_actions", NEXT_DAY, "garbled").returncode == 2
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
    assert copy.run_step("clean_entities", NEXT_DAY, "torn").returncode == 2
    shutil.copy(kept, good)
    if good.suffix == ".parquet":
        assert pq.read_metadata(good).num_rows > 0
    for step in CLEANING:
        done = copy.run_step(step, NEXT_DAY, "mended")
        assert done.returncode == 0, done.stderr[-3000:]

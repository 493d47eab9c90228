"""The search before a receipt is closed, on a lake of a few files."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from privacy import close_receipts
from privacy.landing import forget_in_landing
from privacy.receipts import Receipts
from qianmian.step import StepError
from tests.privacy.shop import AT, GONE, THEIRS
from tests.spark_jobs.small_shop import KEY, event


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Arguments of the search; one receipt is open."""
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
    lake = tmp_path / "lake"
    Receipts(lake).ask(THEIRS, datetime(2026, 10, 31, 12, tzinfo=UTC), "test")
    nowhere = dict.fromkeys(("feeds", "truth", "logs", "pseudonym_key_file"))
    return argparse.Namespace(lake=lake, warehouse=tmp_path / "none.duckdb", address="", to="", **nowhere)


@pytest.mark.parametrize("name", ["2026-10-31.CSV", "2026-10-31.JSONL", "2026-10-31.json", "2026-10-31.Parquet"])
def test_a_landed_file_is_searched_by_the_shops_id_however_its_suffix_is_written(
    args: argparse.Namespace, name: str
) -> None:
    path = args.lake / "landing" / "events" / name
    path.parent.mkdir(parents=True)
    row = event("e1", AT, GONE)
    if name.endswith(".CSV"):
        path.write_text(f"event_id,user_id,event_at\ne1,{GONE},{AT}\n")
    elif name.endswith(".Parquet"):
        pq.write_table(pa.Table.from_pylist([{k: row[k] for k in ("event_id", "user_id", "event_at")}]), path)
    else:
        path.write_text(json.dumps(row) + "\n")
    with pytest.raises(StepError, match=f"still in .*{name}"):
        close_receipts.close_receipts(args)


def test_a_file_that_vanishes_while_everything_is_searched_is_gone(
    args: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = args.lake / "models"
    folder.mkdir()
    pq.write_table(pa.table({"user_id": [THEIRS]}), folder / "state.parquet")
    with duckdb.connect(str(folder / "state.duckdb")) as connection:
        connection.execute("create table t as select 1 as a")
    (folder / "state.pt").write_text(THEIRS)
    search = close_receipts._names_one

    def late(path: Path, *more: Any) -> bool:
        if folder in path.parents:
            path.unlink()
        return search(path, *more)

    with monkeypatch.context() as patched:
        patched.setattr(close_receipts, "_names_one", late)
        assert close_receipts.close_receipts(args)["closed"] == 1


def test_a_file_that_cannot_be_read_keeps_the_receipt_open(args: argparse.Namespace) -> None:
    (args.lake / "features.duckdb").write_bytes(b"no database")
    with pytest.raises(duckdb.IOException):
        close_receipts.close_receipts(args)
    assert Receipts(args.lake).open == [THEIRS]


@pytest.mark.parametrize("place", ["feeds/_set_aside", "truth"])
@pytest.mark.parametrize("as_kept", ["{}", "c1|{}|2026-10-31T10:00:00Z"])
def test_what_an_adapter_keeps_by_the_shops_id_is_searched_and_cleared(
    args: argparse.Namespace, tmp_path: Path, place: str, as_kept: str
) -> None:
    args.feeds, args.truth = tmp_path / "feeds", tmp_path / "truth"
    path = tmp_path / place / "lines.parquet"
    path.parent.mkdir(parents=True)
    ids = [as_kept.format(GONE), "somebody else"]
    rows = {"reason": ["no_price", "no_price"], "user_id": ids, "amount": [1.0, 2.0]}
    pq.write_table(pa.table(rows), path)
    with pytest.raises(StepError, match=r"still in .*lines\.parquet"):
        close_receipts.close_receipts(args)
    receipts = Receipts(args.lake)
    forget_in_landing(args.lake, args.feeds, args.truth, KEY.encode(), receipts)
    assert pq.read_table(path).to_pylist() == [{"reason": "no_price", "user_id": "somebody else", "amount": 2.0}]
    assert close_receipts.close_receipts(args)["closed"] == 1


def test_what_a_killed_step_left_aside_goes(args: argparse.Namespace, tmp_path: Path) -> None:
    landing, feeds = args.lake / "landing", tmp_path / "feeds"
    left = [
        landing / ".incoming" / "3",
        landing / "events" / ".2026-10-31.jsonl.77.tmp",
        feeds / "events" / ".2026-10-31.jsonl.77.tmp",
    ]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(event("e1", AT, GONE)))
    forget_in_landing(args.lake, feeds, None, KEY.encode(), Receipts(args.lake))
    assert [path for path in left if path.exists()] == []

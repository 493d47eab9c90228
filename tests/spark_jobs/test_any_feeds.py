"""Whatever a shop hands over: every row is accounted for, clean tables keep their contract, or the file is named.

QIANMIAN_FUZZ_EXAMPLES sets how many shops are tried (1, of most of a minute; a night's worth is 500).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from expectations.tables import ACTION_FEEDS, CLEAN, FEEDS
from qianmian.step import StepError
from spark_jobs import clean as cleaning
from tests.any_feeds import (
    ANY_FEEDS,
    LAST_DAY,
    SECRET,
    AnyFeeds,
    FeedFile,
    fatal_file,
    feed_files,
    refused_files,
    sound_file,
)  # fmt: skip
from tests.spark_jobs.small_shop import KEY, SmallShop

EXAMPLES = int(os.environ.get("QIANMIAN_FUZZ_EXAMPLES", "1"))
FIRST_DAYS = [LAST_DAY - timedelta(days=n) for n in (3, 2)]
NEXT_DAYS = [LAST_DAY - timedelta(days=1), LAST_DAY]
ARROW = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "decimal(18,3)": pa.decimal128(18, 3),
    "decimal(18,4)": pa.decimal128(18, 4),
}
#: Required of a feed's file, while a row may leave it empty.
MAY_BE_NULL = {("events", "user_id")}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 10,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(drawn=ANY_FEEDS)
def test_any_feeds_are_accounted_for_or_the_file_is_named(
    drawn: AnyFeeds, spark: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
        shop = SmallShop(tmp_path_factory.mktemp("any"))
        files = hand_over(shop, feed_files(drawn, FIRST_DAYS))
        clean(shop, drawn.max_share, files)
        check(shop, files)
        more = hand_over(shop, feed_files(drawn, NEXT_DAYS))
        refused_for(shop, fatal_file(drawn, LAST_DAY))
        files |= more
        clean(shop, drawn.max_share, files)
        check(shop, files)
        if drawn.is_refreshed:
            grown = {table: shop.rows(table) for table in CLEAN}
            run(shop, 1.0, full_refresh=True)
            assert {table: shop.rows(table) for table in CLEAN} == grown, "day after day is as all at once"


def hand_over(shop: SmallShop, files: list[FeedFile]) -> dict[str, FeedFile]:
    for file in files:
        shop.write(file.path, file.content)
    return {file.path: file for file in files}


def run(shop: SmallShop, max_share: float, full_refresh: bool = False) -> None:
    shop.land()
    args = shop.args(full_refresh)
    args.max_quarantined_share = max_share
    cleaning.main(args)


def clean(shop: SmallShop, max_share: float, files: dict[str, FeedFile]) -> None:
    """Clean; where files are refused, they are some of them, and the shop allows more or hands them over again."""
    for _ in files:
        try:
            return run(shop, max_share)
        except StepError as error:
            refused = error
        paths = refused_files(refused.what, shop.lake / "landing")
        assert paths
        assert {*paths} <= files.keys()
        assert SECRET not in refused.what
        if "rows are unusable" in refused.what:
            max_share = 1.0
        else:  # few rows, all of them broken
            for path in paths:
                files[path] = sound_file(path, FIRST_DAYS[0])
                shop.write(path, files[path].content)
    raise AssertionError("one file after the other was refused")


def refused_for(shop: SmallShop, wrong: FeedFile) -> None:
    """Clean with a file that is wrong as a whole: it is named, and nothing of its feed's step is written."""
    feed = wrong.path.split("/")[0]
    before = shop.manifest(feed)
    source = shop.write(wrong.path, wrong.content)
    with pytest.raises(StepError) as refused:
        run(shop, 1.0)
    assert wrong.path in refused_files(refused.value.what, shop.lake / "landing")
    assert refused.value.remedy
    assert shop.manifest(feed) == before
    # As if it had never been handed over.
    source.unlink()
    journal = shop.lake / "landing" / "manifest.jsonl"
    lines = [line for line in journal.read_text().splitlines() if json.loads(line)["path"] != wrong.path]
    journal.write_text("".join(f"{line}\n" for line in lines))


def check(shop: SmallShop, files: dict[str, FeedFile]) -> None:
    tables = {table: shop.rows(table) for table in CLEAN}
    account(shop, files, tables)
    for name, table in CLEAN.items():
        rows, columns = tables[name], table.columns
        for file in parquet_files(shop, name):
            stored = [(column.name, column.type) for column in pq.read_schema(file)]
            assert stored == [(column.name, ARROW[column.type]) for column in columns], file
        for column in columns:
            if column.required and (name, column.name) not in MAY_BE_NULL:
                assert all(row[column.name] is not None for row in rows), (name, column.name)
        key = table.key if name in (*ACTION_FEEDS, "bots") else (*table.key, "arrived_on")
        doubled = Counter(tuple(row[column] for column in key) for row in rows)
        assert not rows or max(doubled.values()) == 1, (name, doubled.most_common(1))
        assert SECRET not in repr(rows), name


def account(shop: SmallShop, files: dict[str, FeedFile], tables: dict[str, list[dict[str, Any]]]) -> None:
    """Hold each file's counts against the rows that are there, each row in one place only."""
    seen = set()
    for feed in FEEDS:
        for path, entry in shop.manifest(feed)["inputs"].items():
            seen.add(path)
            counts = entry["counts"]
            places = [row["row_number"] for row in tables[feed] if row["source_file"] == path]
            rejected = [row for row in tables["quarantine"] if row["source_file"] == path]
            assert len(places) == counts["clean"], path
            assert Counter(row["reason"] for row in rejected) == counts["quarantined"], path
            both = Counter([*places, *(row["row_number"] for row in rejected)])
            assert not both or (max(both.values()) == 1 and max(both) <= counts["rows"]), path
            assert counts["rows"] == both.total() + sum(counts["set_aside"].values()), path
            if (written := files[path].rows) is not None:
                assert counts["rows"] == written, path
    assert seen == files.keys()


def parquet_files(shop: SmallShop, table: str) -> list[Path]:
    folder = shop.lake / "clean" / table
    return [folder / file for part in shop.manifest(table)["partitions"].values() for file in part["files"]]

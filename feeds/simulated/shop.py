"""Makes the simulated shop's files: what is missing of every day from the opening to the as-of date and a week on.

The week after the as-of date is there because the shop knows its future: model_metrics is measured on it, and
reading nothing later than the day is the readers' business.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from expectations.tables import EVALUATION_DAYS
from feeds.prepared_folder import PreparedFolder
from feeds.simulated import truth_files
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.days import OPENING_DAY, day_of, number_of
from feeds.simulated.dirt import RATES
from feeds.simulated.people import shard_count
from feeds.simulated.shard_feeds import ShardFeeds, file_stem, to_parquet
from feeds.simulated.words import vocabulary
from qianmian.step import StepError

log = logging.getLogger("qianmian")

FEWEST_USERS, MOST_USERS = 100, 10_000_000
#: Raise it with every change to what the files hold: a folder made by another version is refused, not mixed.
VERSION = 1

ITEMS = pa.schema(
    {
        "item_id": pa.string(),
        "title": pa.string(),
        "description": pa.string(),
        "category_path": pa.string(),
        "brand": pa.string(),
        "price": pa.decimal128(18, 4),
        "currency": pa.string(),
        "stock": pa.int64(),
        "is_active": pa.bool_(),
        "image_url": pa.string(),
        "created_at": pa.timestamp("us", tz="UTC"),
    }
)


def generate(feeds: Path, truth: Path, users: int, seed: int, as_of: str) -> dict[str, Any]:
    """Write the feeds and the truth of every day that is not there yet, and return what was written.

    A file is a function of (seed, users, day, shard). Shards are made one after the other, so memory follows a
    shard's size and not the shop's. A shard's day is there when its events file is: that one is written last.
    Raises StepError for a size out of range, a day before the opening, truth among the feeds, or a folder made
    with other parameters.
    """
    _check(feeds, truth, users, as_of)
    folder = PreparedFolder(feeds, "simulated", {"version": VERSION, "users": users, "seed": seed})
    folder.claim()
    beside = PreparedFolder(truth, "simulated", folder.parameters)
    beside.claim()
    shards, last_day = shard_count(users), number_of(date.fromisoformat(as_of)) + EVALUATION_DAYS
    missing = _missing(feeds, truth, shards, last_day)
    rows: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    if missing:
        catalogue = Catalogue(seed, users, last_day)
        beside.write("shop.json", json.dumps({**folder.parameters, "rates": vars(RATES)}, indent=2).encode())
        due, started = sum(len(days) for days in missing.values()), time.monotonic()
        done = 0
        for index, days in missing.items():
            shard = ShardFeeds(catalogue, users, index, last_day, RATES)
            for day in days:
                made_rows, made_planted = _write_day(folder, beside, catalogue, shard, day)
                rows.update(made_rows)
                planted.update(made_planted)
                done += 1
                if done % 25 == 0 or done == due:
                    log.info("prepare: %d of %d shard days, %.0f s", done, due, time.monotonic() - started)
    else:
        log.info("prepare: every file up to %s is there already", day_of(last_day))
    report = {
        "users": users,
        "seed": seed,
        "days": [OPENING_DAY.isoformat(), day_of(last_day).isoformat()],
        "rows_written": dict(sorted(rows.items())),
        "planted_dirt": dict(sorted(planted.items())),
    }
    folder.finish(report)
    return report


def _check(feeds: Path, truth: Path, users: int, as_of: str) -> None:
    if not FEWEST_USERS <= users <= MOST_USERS:
        raise StepError(f"--users {users}", f"give a number from {FEWEST_USERS} to {MOST_USERS}")
    if date.fromisoformat(as_of) < OPENING_DAY:
        raise StepError(f"--as-of {as_of}: the simulated shop opened on {OPENING_DAY}", "give a later day")
    inner, outer = truth.resolve(), feeds.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise StepError(
            f"--truth {truth} and --feeds {feeds} lie in one another", "give the truth a folder beside the feeds"
        )


def _missing(feeds: Path, truth: Path, shards: int, last_day: int) -> dict[int, list[int]]:
    """Return the days still to be made, by shard."""
    there = {path.name.removesuffix(".jsonl") for path in (feeds / "events").glob("*.jsonl")}
    there &= {path.name.removesuffix(".parquet") for path in (truth / "planted_dirt").glob("*.parquet")}
    missing = {
        index: [day for day in range(last_day + 1) if file_stem(day, index, shards) not in there]
        for index in range(shards)
    }
    return {index: days for index, days in missing.items() if days}


def _write_day(
    folder: PreparedFolder, beside: PreparedFolder, catalogue: Catalogue, shard: ShardFeeds, day: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Write one shard's day, and with the first shard what the whole shop shares; return (rows, dirt) counts."""
    stem = file_stem(day, shard.shard.index, shard.shard.shards)
    made = shard.files(day)
    rows = dict(made.rows)
    truth = {
        **made.truth,
        f"users/{stem}.parquet": to_parquet(truth_files.user_rows(shard.shard, day), truth_files.USERS),
        f"purchases/{stem}.parquet": to_parquet(
            truth_files.purchase_rows(shard.history, day), truth_files.PURCHASES
        ),
    }
    shared: dict[str, bytes] = {}
    if shard.shard.index == 0:
        name = day_of(day).isoformat()
        items, campaigns = _item_rows(catalogue, day), _campaign_rows(catalogue, day)
        rows["items"] = len(items)
        if items:
            shared[f"items/{name}.parquet"] = to_parquet(items, ITEMS)
        if campaigns:
            rows["campaigns"] = len(campaigns)
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in campaigns)
            shared[f"campaigns/{name}.jsonl"] = lines.encode()
            truth[f"campaigns/{name}.parquet"] = to_parquet(
                truth_files.campaign_rows(catalogue, day), truth_files.CAMPAIGNS
            )
        truth[f"items/{name}.parquet"] = to_parquet(truth_files.item_rows(catalogue, day), truth_files.ITEMS)
    for path, content in truth.items():
        beside.write(path, content)
    for path, content in sorted({**shared, **made.feeds}.items(), key=lambda file: file[0].startswith("events/")):
        folder.write(path, content)
    return rows, made.planted


def _item_rows(catalogue: Catalogue, day: int) -> list[dict[str, Any]]:
    """Return the day's rows of the items feed: what is new or changed."""
    today, words = catalogue.today(day), vocabulary()
    return [
        {
            "item_id": catalogue.item_id(item),
            "title": catalogue.title(item),
            "description": catalogue.description(item),
            "category_path": words.leaves[catalogue.leaf[item]].path,
            "brand": words.brands[catalogue.brand[item]],
            "price": Decimal(f"{today.price[item]:.4f}"),
            "currency": "CNY",
            "stock": int(today.stock[item]),
            "is_active": bool(today.is_active[item]),
            "image_url": f"https://img.example.com/{catalogue.item_id(item)}.jpg",
            "created_at": catalogue.created_at(item),
        }
        for item in catalogue.changed(day).tolist()
    ]


def _campaign_rows(catalogue: Catalogue, day: int) -> list[dict[str, str]]:
    """Return the campaigns announced on `day`; new arrivals name the items that are there by then."""
    n = catalogue.count(day)
    return [
        campaign.row(
            [
                catalogue.item_id(item)
                for item in campaign.covers(catalogue.leaf[:n], catalogue.born[:n]).nonzero()[0].tolist()
            ]
        )
        for campaign in catalogue.campaigns
        if campaign.announced == day
    ]

"""The feed files of one shard, day by day, and the truth that belongs to them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import FEEDS
from feeds.simulated.bots import bot_events
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.days import day_of
from feeds.simulated.dirt import CONTACTS, EVENTS, LATEST, REVIEWS, Rates, Row, Soiled, arrivals, soil
from feeds.simulated.event_rows import joined, json_lines
from feeds.simulated.funnel import visit_events
from feeds.simulated.history import History
from feeds.simulated.people import EMPTY, Shard
from feeds.simulated.randomness import stream
from feeds.simulated.satisfaction import LONGEST_WAIT, Aftermath, aftermath, later_events, reviews

LAYOUTS = {"events": EVENTS, "reviews": REVIEWS, "campaign_contacts": CONTACTS}


@dataclass(frozen=True)
class DayFiles:
    """One day of one shard: feed files and truth files by path, rows by feed, and bad rows by kind."""

    feeds: dict[str, bytes]
    truth: dict[str, bytes]
    rows: dict[str, int]
    planted: dict[str, int]


class ShardFeeds:
    """Tells what happens in one shard as feed files. Any day can be made alone; in order, each is made once."""

    def __init__(self, catalogue: Catalogue, users: int, index: int, last_day: int, rates: Rates) -> None:
        self.catalogue = catalogue
        self.rates = rates
        self.shard = Shard(catalogue, users, index, last_day, rates.bot, rates.missing_consent)
        self.history = History(catalogue, self.shard)
        self.aftermath = lru_cache(maxsize=LONGEST_WAIT + LATEST + 2)(partial(aftermath, self.history))
        self.soiled = lru_cache(maxsize=3 * (LATEST + 2))(self._soiled)

    def files(self, day: int) -> DayFiles:
        """Make the day's files. A feed without a row that day has no file, events aside."""
        name = file_stem(day, self.shard.index, self.shard.shards)
        feeds: dict[str, bytes] = {}
        rows: dict[str, int] = {}
        planted: list[dict[str, Any]] = []
        for feed, extension in (("campaign_contacts", "csv"), ("reviews", "jsonl"), ("events", "jsonl")):
            told = self._rows_of_file(feed, day)
            if not told and feed != "events":
                continue
            path, rows[feed] = f"{feed}/{name}.{extension}", len(told)
            texts = [row.text for row in told]
            feeds[path] = _lines(texts) if extension == "jsonl" else to_csv(feed, map(json.loads, texts))
            planted += [
                {"feed": feed, "file": path, "row_number": number, "kind": row.dirt, "event_id": row.key}
                for number, row in enumerate(told, start=1)
                if row.dirt
            ]
        users = self._user_rows(day)
        if users:
            path, rows["users"] = f"users/{name}.csv", len(users)
            feeds[path] = to_csv("users", [fields for fields, _ in users])
            planted += [
                {"feed": "users", "file": path, "row_number": number, "kind": kind, "event_id": fields["user_id"]}
                for number, (fields, kind) in enumerate(users, start=1)
                if kind
            ]
        erasures = self._erasure_rows(day)
        if erasures:
            rows["erasure_requests"] = len(erasures)
            feeds[f"erasure_requests/{name}.csv"] = to_csv("erasure_requests", erasures)
        truth = {f"planted_dirt/{name}.parquet": to_parquet(planted, PLANTED_DIRT)}
        kinds = [row["kind"] for row in planted]
        return DayFiles(feeds, truth, rows, {kind: kinds.count(kind) for kind in sorted(set(kinds))})

    def _rows_of_file(self, feed: str, day: int) -> list[Row]:
        late = [
            row
            for delay in range(1, LATEST + 1)
            if day >= delay
            for row in self.soiled(feed, day - delay).later[delay]
        ]
        rng = stream(self.shard.seed, "arrivals", self.shard.index, day, sorted(LAYOUTS).index(feed))
        return arrivals(rng, self.soiled(feed, day).on_time, late)

    def _soiled(self, feed: str, day: int) -> Soiled:
        make = {"events": self._events, "reviews": self._reviews, "campaign_contacts": self._contacts}
        rng = stream(self.shard.seed, "dirt", self.shard.index, day, sorted(LAYOUTS).index(feed))
        return soil(rng, make[feed](day), LAYOUTS[feed], self.rates)

    def _recent(self, day: int) -> list[Aftermath]:
        return [self.aftermath(earlier) for earlier in range(max(0, day - LONGEST_WAIT), day)]

    def _events(self, day: int) -> list[Row]:
        rows = joined(
            [
                visit_events(self.history, day),
                *later_events(self.history, self._recent(day), day),
                bot_events(self.catalogue, self.shard, day),
            ]
        )
        lines = json_lines(rows, self.catalogue, self.shard, day)
        start = len('{"event_id":"')
        return [Row(line[start : line.index('"', start)], line) for line in lines]

    def _reviews(self, day: int) -> list[Row]:
        rows = []
        for number, review in enumerate(reviews(self.history, self._recent(day), day)):
            review_id = f"r{day_of(day):%Y%m%d}{self.shard.index:04d}{number:05d}"
            fields = {
                "review_id": review_id,
                "user_id": self.shard.user_id(review.user),
                "item_id": self.catalogue.item_id(review.item),
                "created_at": _at(day, review.second),
                "rating": review.stars,
                "text": review.text,
            }
            rows.append(Row(review_id, json.dumps(fields, ensure_ascii=False, separators=(",", ":"))))
        return rows

    def _contacts(self, day: int) -> list[Row]:
        rows = []
        for campaign in self.catalogue.campaigns:
            if not campaign.starts <= day <= campaign.starts + 1:
                continue
            contacts = self.history.contacts(campaign)
            for number in (contacts.day == day).nonzero()[0].tolist():
                fields = {
                    "campaign_id": campaign.campaign_id,
                    "user_id": self.shard.user_id(int(contacts.user[number])),
                    "contacted_at": _at(day, int(contacts.second[number])),
                    "channel": campaign.channel,
                }
                key = "|".join(fields[name] for name in FEEDS["campaign_contacts"].key)
                rows.append(Row(key, json.dumps(fields)))
        return rows

    def _user_rows(self, day: int) -> list[tuple[dict[str, str], str]]:
        """Return the day's rows of the users feed and the dirt in each.

        A wrong type comes as a second row of a user whose first is sound: were it the only one, everything that
        user does would be of an unknown user.
        """
        users = self.shard.changed(day).tolist()
        sound = [self.shard.row(user, day) for user in users]
        unasked = (self.shard.personalization[users] == EMPTY) & (self.shard.withdrawn[users] > day)
        kinds = ["missing_consent" if is_unasked else "" for is_unasked in unasked]
        drawn = stream(self.shard.seed, "user dirt", self.shard.index, day).random(len(users))
        spoilt = [
            ({**row, "registered_at": "yesterday"}, "wrong_type")
            for row, chance in zip(sound, drawn, strict=True)
            if chance < self.rates.wrong_type
        ]
        return [*zip(sound, kinds, strict=True), *spoilt]

    def _erasure_rows(self, day: int) -> list[dict[str, str]]:
        asked = (self.shard.erased[: self.shard.count(day)] == day).nonzero()[0].tolist()
        rng = stream(self.shard.seed, "erasures", self.shard.index, day)
        seconds = rng.integers(0, 86_400, len(asked)).tolist()
        return [
            {"user_id": self.shard.user_id(user), "requested_at": _at(day, second)}
            for user, second in zip(asked, seconds, strict=True)
        ]


PLANTED_DIRT = pa.schema(
    [("feed", pa.string()), ("file", pa.string()), ("row_number", pa.int64()), ("kind", pa.string()),
     ("event_id", pa.string())]
)  # fmt: skip


def file_stem(day: int, shard: int, shards: int) -> str:
    """Return `2026-10-31`, or `2026-10-31-0003` in a shop of several shards."""
    return day_of(day).isoformat() + (f"-{shard:04d}" if shards > 1 else "")


def to_parquet(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> bytes:
    """Return rows as Parquet bytes."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def to_csv(feed: str, rows: Iterable[dict[str, Any]]) -> bytes:
    """Return rows as CSV bytes with the feed's columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FEEDS[feed].column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _lines(texts: Iterable[str]) -> bytes:
    return "".join(text + "\n" for text in texts).encode()


def _at(day: int, second: int) -> str:
    return (datetime.combine(day_of(day), time()) + timedelta(seconds=second)).isoformat() + "Z"

"""Any feeds that a shop might hand over: every format, of rows sound, strange or broken, and damaged files.

Hypothesis draws the strange values, the damage and a seed; rows are dealt out by the seed, since files of hundreds
of rows are more than Hypothesis can draw, and shrinking a run of many seconds is nobody's wish.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from expectations.tables import EVENT_TYPES, FEEDS, PLATFORMS

Row = dict[str, Any]
LAST_DAY = date(2026, 10, 31)
#: Part of every user's id, so that a search for it finds any that got past the pseudonyms.
SECRET = "secretperson"

STRANGE: list[Any] = [
    *("", " ", None, True, False, 0, -1, 5, 1e308, -0.0, float("nan"), float("inf"), 10**40, 0.1234567890123),
    *("NaN", "Infinity", "-1", "1e9", "1e400", "999999999999999.9999", "1,5", "٣", "0x10", "NULL", "no", "True"),
    *("0001-01-01", "1899-12-31", "1900-01-01", "2199-12-31T23:59:59Z", "9999-12-31", "2026-02-30", "10:30"),
    *("2026-10-31T25:00:00Z", "2026-10-31 10:00:00+14:00", "2026-10-31T10:00:00.123456789Z", "1793440800000"),
    *("purchase", "PURCHASE", "return", "ios", "fax", "item1", "item999", "c1", "zh", "A > B > > C", "|||", "a|b"),
    *("a\nb", "a\r\nb", "\r", 'say "hi", ok', '"', "'; drop table items; --", "\t", "\x00", "\x1f\x7f", "\\"),
    *("\ufeff", "\u202eabc", "e\u0301", "👩\u200d👩\u200d👧", "𠮷野家", "好评" * 40, "\u2028", "ﷺ", "x" * 5000),
    *({"a": 1}, ["x"], [], {}),
]  # fmt: skip
#: Encodable in UTF-8: what cannot be is drawn as bytes, not as text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ANY_VALUE = st.one_of(
    TEXT, st.integers(), st.floats(), st.decimals(allow_nan=False).map(str), st.datetimes().map(str)
)

FORMATS = ("jsonl", "csv", "parquet", "jsonl.gz", "csv.gz", "ndjson", "json")
#: What leaves a file readable, and what does not. `none` stands often, or no file would be sound.
HARMLESS = (
    "none",
    "none",
    "none",
    "bom",
    "crlf",
    "no_last_line_end",
    "more_columns",
    "fewer_columns",
    "odd_lines",
)
FATAL = ("cut", "empty", "utf_16", "gbk", "named_wrongly", "column_missing", "column_twice", "only_junk")


@dataclass(frozen=True)
class FeedFile:
    """One file: `rows` is how many were written into it, None where only a reader could say."""

    path: str
    content: bytes
    rows: int | None


@dataclass(frozen=True)
class AnyFeeds:
    """What Hypothesis draws: a seed, strange values, what is wrong with one file, and how the shop is cleaned."""

    seed: int
    values: Sequence[Any]
    fatal: str
    max_share: float
    is_refreshed: bool


ANY_FEEDS = st.builds(
    AnyFeeds,
    seed=st.integers(0, 2**32),
    values=st.lists(ANY_VALUE, min_size=10, max_size=30),
    fatal=st.sampled_from(FATAL),
    max_share=st.sampled_from([1.0, 0.6]),
    is_refreshed=st.booleans(),
)


def feed_files(drawn: AnyFeeds, days: Sequence[date], strangeness: float = 0.3) -> list[FeedFile]:
    """Deal out a shop's files of some days; `strangeness` is the share of rows with strange values in them.

    The catalogue and the users come first and are sound enough for events to have somebody to be of.
    """
    dice = random.Random(drawn.seed)
    pool = [*STRANGE, *drawn.values]
    files = []
    for number, day in enumerate(days):
        for feed in FEEDS:
            if number and dice.random() < 0.4:
                continue
            count = dice.randint(15, 40) if feed in ("events", "items", "users") else dice.randint(3, 12)
            rows = [_strange(dice, sound_row(dice, feed, n, day), pool, strangeness) for n in range(count)]
            dated = f"{day}" if feed == "events" or dice.random() < 0.8 else f"all{number}"
            files.append(_file(dice, feed, f"{dated}.{dice.choice(FORMATS)}", rows, dice.choice(HARMLESS)))
    return files


def fatal_file(drawn: AnyFeeds, day: date) -> FeedFile:
    """Return a file of this day that is wrong as a whole."""
    dice = random.Random(drawn.seed + 1)
    feed = dice.choice(sorted(FEEDS))
    rows = [sound_row(dice, feed, n, day) for n in range(5)]
    # What is fatal to one format may be a bad row of another, or nothing to it.
    name = {"cut": "csv.gz", "column_twice": "csv", "gbk": "csv", "utf_16": "csv"}.get(
        drawn.fatal, dice.choice(FORMATS)
    )
    return _file(dice, feed, f"{day}-late.{name}", rows, drawn.fatal)


def refused_files(said: str, landing: Path) -> list[str]:
    """Return the landed files that an error says are at fault, by their paths in landing: none, or all."""
    first = re.search(rf"^(?:ERROR in \w+: )?{re.escape(str(landing))}/(\S+?):? ", said, re.MULTILINE)
    if not first:
        return []
    more = re.search(r"^More files [\w ]+:\n((?:  .*\n?)+)", said, re.MULTILINE)
    return [first[1], *re.findall(r"^  (\S+/\S+?):? ", more[1] if more else "", re.MULTILINE)]


def sound_file(path: str, day: date) -> FeedFile:
    """Return a file of this path in which all is well."""
    dice, (feed, name) = random.Random(path), path.split("/")
    return _file(dice, feed, name, [sound_row(dice, feed, n, day) for n in range(5)], "none")


def sound_row(dice: random.Random, feed: str, number: int, day: date) -> Row:
    """Return a row that keeps the feed's contract; keys repeat now and then."""
    moment = (
        f"{day - timedelta(days=dice.choice([0, 0, 0, 1, 9]))}T{dice.randrange(24):02}:{dice.randrange(60):02}:07Z"
    )
    item, user = f"item{dice.randrange(15)}", f"{SECRET}{dice.randrange(15)}"
    period = {"starts_on": f"{day - timedelta(days=3)}", "ends_on": f"{day + timedelta(days=dice.randrange(9))}"}
    category = dice.choice(["Toys > Blocks", "Books", "美妆 > 面膜"])
    words = {"items": "积木 blocks", "reviews": dice.choice(["很好,喜欢", "broke at once", "ok"])}
    rows: dict[str, Callable[[], Row]] = {
        "events": lambda: {
            "event_id": f"{day}-{dice.randrange(60)}", "event_at": moment, "user_id": user if number % 5 else "",
            "event_type": dice.choice(EVENT_TYPES), "item_id": item, "quantity": dice.choice([1, "2", "1.0"]),
            "unit_price": dice.choice([9.5, "12.30", 0]), "platform": dice.choice(PLATFORMS), "rating": 4,
            "query": "blocks 积木", "region": dice.choice(["north", "南"]),
        },
        "items": lambda: {
            "item_id": f"item{number % 15}", "title": f"{words['items']} {number}", "category_path": category,
            "brand": dice.choice(["Lumo", "小满"]), "price": dice.choice([9.5, "12.30"]), "stock": 3,
            "is_active": True, "created_at": moment,
        },
        "users": lambda: {
            "user_id": f"{SECRET}{number % 15}", "has_personalization_consent": number % 7 != 6, "language": "zh",
            "region": "north", "registered_at": moment,
        },
        "campaigns": lambda: {
            "campaign_id": f"c{number % 4}", "name": "Sale", "item_ids": f"{item}|item3", **period,
        },
        "merchandising_rules": lambda: {
            "rule_id": f"r{number % 6}", "action": dice.choice(["block", "pin", "boost"]), "item_id": item,
            "position": dice.choice([1, "2", 30]), "factor": dice.choice([0.5, 2]), **period,
        },
        "campaign_contacts": lambda: {"campaign_id": "c1", "user_id": user, "contacted_at": moment},
        "reviews": lambda: {
            "review_id": f"{day}-{number % 9}", "user_id": user, "item_id": item, "created_at": moment,
            "rating": dice.choice([1, 5, "3"]), "text": words["reviews"],
        },
        "erasure_requests": lambda: {"user_id": f"{SECRET}14", "requested_at": moment},
    }  # fmt: skip
    return rows[feed]()


def _strange(dice: random.Random, row: Row, pool: Sequence[Any], share: float) -> Row:
    """Put strange values into some of a row's columns, now and then take a column away."""
    row = dict(row)
    while dice.random() < share and row:
        name = dice.choice(sorted(row))
        if dice.random() < 0.15:
            del row[name]
        else:
            row[name] = dice.choice(pool)
    return row


def _file(dice: random.Random, feed: str, name: str, rows: list[Row], damage: str) -> FeedFile:
    names = list(FEEDS[feed].column_names)
    required = FEEDS[feed].required[0]
    if damage == "more_columns":
        rows = [{**row, "email": f"{SECRET}@example.com", "note": "ü"} for row in rows]
        names += ["email", "note"]
    if damage == "fewer_columns":
        names = (
            [*FEEDS[feed].required, *dice.sample([n for n in names if n not in FEEDS[feed].required], 1)]
            if (len(names) > len(FEEDS[feed].required))
            else names
        )
    if damage == "column_missing":
        names.remove(required)
    rows = [{key: value for key, value in row.items() if key in names} for row in rows]
    kind = name.removesuffix(".gz").rsplit(".", 1)[1]
    count: int | None = len(rows)
    if kind == "parquet":
        content = _parquet(dice, names, rows)
    elif kind == "csv":
        content = _csv(names, rows, twice=damage == "column_twice").encode()
        if damage == "odd_lines":
            content += b'just one field\n"never closed,x,y\n' + ",".join(names).encode() + b"\n"
            count = None  # where an open quote ends, its reader decides
    else:
        content = _json_lines(dice, rows).encode()
        if damage == "odd_lines":
            torn = json.dumps({**rows[0], "email": f"{SECRET}@example.com"}) if rows else "{"
            content += f"{torn[: dice.randrange(1, len(torn) + 1)][:-1]}?\n\n[1, 2]\nplain words\n".encode()
            count = len(rows) + 3
    content, damaged = _damaged(content, kind, damage)
    if name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
        content = content[: len(content) // 2] if damage == "cut" else content
    return FeedFile(f"{feed}/{name}", content, None if damaged else count)


def _damaged(content: bytes, kind: str, damage: str) -> tuple[bytes, bool]:
    """Return the file's bytes after the damage, and whether nobody can say any more how many rows it has."""
    text = kind != "parquet"
    match damage:
        case "bom" if text:
            return b"\xef\xbb\xbf" + content, False
        case "crlf" if text:
            return content.replace(b"\n", b"\r\n"), kind == "csv"
        case "no_last_line_end" if text:
            return content.removesuffix(b"\n"), False
        case "empty":
            return b"", True
        case "cut":
            return content[: len(content) // 2], True
        case "utf_16" if text:
            return content.decode().encode("utf-16"), True
        case "gbk":
            return content + "\n售罄".encode("gbk"), True
        case "named_wrongly":
            return b"PAR1" + content[::-1], True
        case "only_junk":
            return b"\x89PNG\r\n\x1a\n" * 20, True
    return content, damage in FATAL


def _json_lines(dice: random.Random, rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=dice.random() < 0.3) + "\n" for row in rows)


def _csv(names: list[str], rows: list[Row], *, twice: bool) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([*names, names[-1]] if twice else names)
    for row in rows:
        values = ["" if row.get(name) is None else row.get(name) for name in names]
        writer.writerow([*values, ""] if twice else values)
    return written.getvalue()


def _parquet(dice: random.Random, names: list[str], rows: list[Row]) -> bytes:
    """Write columns as text, or natively as numbers, where what is none becomes null."""
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if dice.random() < 0.4 and name in (
            "quantity",
            "unit_price",
            "price",
            "rating",
            "stock",
            "position",
            "factor",
        ):
            kind = dice.choice([pa.float64(), pa.decimal128(38, 6)])
            columns[name] = pa.array([_number(value, kind) for value in values], kind)
        else:
            columns[name] = pa.array([None if value is None else _as_text(value) for value in values], pa.string())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _number(value: Any, kind: pa.DataType) -> float | Decimal | None:
    try:
        number = Decimal(str(value))
        if pa.types.is_floating(kind):
            return float(number)
        return number.quantize(Decimal("0.000001")) if abs(number) < 10**30 else None
    except InvalidOperation:
        return None


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

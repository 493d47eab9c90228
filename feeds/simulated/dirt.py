"""Bad rows planted on purpose, at stated rates, each noted: what cleaning must find.

A row gets at most one kind of dirt, and only of a kind that can befall it (no unknown user on an anonymous row).
What is drawn for a day's rows depends on that day alone; the day's file then holds its own rows that are on
time, and the late rows and late copies of the three days before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

LATEST = 3  # days after which a late row arrives at most


@dataclass(frozen=True)
class Rates:
    """Shares of the rows that each kind could befall; of the users for the last two."""

    duplicate: float = 0.005  # the same row again, in the same file or in that of one of the next days
    late: float = 0.005  # arrives one to three days later; good otherwise, and to be kept
    unknown_item: float = 0.005  # an item that no file ever names
    unknown_user: float = 0.005
    future_time: float = 0.005  # more than a day after the day of its file
    broken_json: float = 0.005  # cut off, or a value without quotes, or no JSON at all
    wrong_type: float = 0.005  # quantity "two", price "N/A", rating "great", time "yesterday"
    missing_consent: float = 0.005  # has_personalization_consent is empty: that means no
    bot: float = 0.01

    def of_rows(self) -> dict[str, float]:
        """The rates of what befalls rows of actions."""
        return {kind: rate for kind, rate in vars(self).items() if kind not in ("missing_consent", "bot")}


RATES = Rates()


@dataclass(frozen=True)
class Layout:
    """What dirt needs to know of a feed: its time column, and the columns that can hold a wrong type."""

    time: str
    wrong: dict[str, str]
    can_break: bool = True  # as JSON


EVENTS = Layout("event_at", {"quantity": "two", "unit_price": "N/A", "rating": "great", "event_at": "yesterday"})
REVIEWS = Layout("created_at", {"rating": "great", "created_at": "yesterday"})
CONTACTS = Layout("contacted_at", {"contacted_at": "yesterday"}, can_break=False)


@dataclass(frozen=True)
class Row:
    """One row of a feed as it will be told: its key (for the truth), its JSON text, its dirt ("" for none)."""

    key: str
    text: str
    dirt: str = ""


@dataclass(frozen=True)
class Soiled:
    """One day's rows: those for the day's own file, and those for a later one by days of delay."""

    on_time: list[Row]
    later: dict[int, list[Row]]


def soil(rng: np.random.Generator, rows: Sequence[Row], layout: Layout, rates: Rates) -> Soiled:
    """Plant dirt in one day's good rows."""
    kinds, shares = list(rates.of_rows()), list(rates.of_rows().values())
    drawn = np.searchsorted(np.cumsum(shares), rng.random(len(rows)), side="right")
    detail = rng.random((len(rows), 2))
    told: list[tuple[float, Row]] = []
    later: dict[int, list[Row]] = {delay: [] for delay in range(1, LATEST + 1)}
    for number, row in enumerate(rows):
        kind = kinds[drawn[number]] if drawn[number] < len(kinds) else ""
        first, second = detail[number].tolist()
        delay = 1 + int(first * LATEST)
        if kind == "late":
            later[delay].append(Row(row.key, row.text, kind))
            continue
        if kind == "duplicate":
            copy = Row(row.key, row.text, kind)
            if second < 0.5:
                told.append((number + 0.5 + int(first * 40), copy))
            else:
                later[delay].append(copy)
        elif kind:
            row = _SPOILERS[kind](row, layout, first, second)
        told.append((float(number), row))
    told.sort(key=lambda entry: entry[0])
    return Soiled([row for _, row in told], later)


def arrivals(rng: np.random.Generator, own: list[Row], late: Sequence[Row]) -> list[Row]:
    """Mix late rows into a day's own, which keep their order."""
    places = np.sort(rng.integers(0, len(own) + 1, len(late))).tolist()
    mixed, taken = [], 0
    for place, row in zip(places, late, strict=True):
        mixed += [*own[taken:place], row]
        taken = place
    return mixed + own[taken:]


def _changed(row: Row, kind: str, change: Callable[[dict[str, Any]], bool]) -> Row:
    """Return the row with its fields changed, or as it is where `change` finds nothing to change."""
    fields = json.loads(row.text)
    if not change(fields):
        return row
    return Row(row.key, json.dumps(fields, ensure_ascii=False, separators=(",", ":")), kind)


def _unknown_item(row: Row, layout: Layout, first: float, second: float) -> Row:
    return _changed(row, "unknown_item", lambda fields: _replace(fields, "item_id", f"p9{int(first * 1e6):06d}"))


def _unknown_user(row: Row, layout: Layout, first: float, second: float) -> Row:
    return _changed(row, "unknown_user", lambda fields: _replace(fields, "user_id", f"u9{int(first * 1e8):08d}"))


def _replace(fields: dict[str, Any], name: str, value: Any) -> bool:
    if not fields.get(name):
        return False
    fields[name] = value
    return True


def _future_time(row: Row, layout: Layout, first: float, second: float) -> Row:
    def postpone(fields: dict[str, Any]) -> bool:
        at = datetime.fromisoformat(fields[layout.time]) + timedelta(days=3 + int(first * 400))
        return _replace(fields, layout.time, at.isoformat().replace("+00:00", "Z"))

    return _changed(row, "future_time", postpone)


def _wrong_type(row: Row, layout: Layout, first: float, second: float) -> Row:
    def spoil(fields: dict[str, Any]) -> bool:
        possible = [name for name in layout.wrong if name in fields]
        name = possible[int(first * len(possible))]
        return _replace(fields, name, layout.wrong[name])

    return _changed(row, "wrong_type", spoil)


def _broken_json(row: Row, layout: Layout, first: float, second: float) -> Row:
    if not layout.can_break:
        return row
    if second < 0.6:
        text = row.text[: int(len(row.text) * (0.2 + 0.7 * first))]
    elif second < 0.9:
        text = row.text.replace(f'"{layout.time}":"', f'"{layout.time}":', 1)
    else:
        text = f"upstream connect error or disconnect/reset before headers {int(first * 1e9)}"
    return Row(row.key, text, "broken_json")


_SPOILERS: dict[str, Callable[[Row, Layout, float, float], Row]] = {
    "unknown_item": _unknown_item,
    "unknown_user": _unknown_user,
    "future_time": _future_time,
    "wrong_type": _wrong_type,
    "broken_json": _broken_json,
}

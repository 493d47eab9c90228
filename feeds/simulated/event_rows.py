"""Events as columns while they are drawn, and as JSON lines when they are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from expectations.tables import EVENT_TYPES, PLATFORMS
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.days import day_of
from feeds.simulated.people import Shard

IMPRESSION, VIEW, SEARCH, CLICK, CART, FAVORITE, PURCHASE, RATING, DISMISS, RETURN = range(len(EVENT_TYPES))
#: Clients of this platform send local time with its offset; the others send UTC.
LOCAL_TIME_PLATFORM = PLATFORMS.index("mini_program")
LOCAL_OFFSET_HOURS = 8
NONE = -1


@dataclass(frozen=True)
class EventRows:
    """Events of one shard and day; NONE (or NaN, or "") stands for an absent value.

    `millisecond` counts from the day's midnight UTC. `visitor` is the user's number in the shard even where
    `is_known` is false. `rank` is the place in the shop's own home list that the item was taken from.
    """

    millisecond: np.ndarray
    visitor: np.ndarray
    is_known: np.ndarray
    type: np.ndarray
    item: np.ndarray
    session: np.ndarray
    campaign: np.ndarray
    rank: np.ndarray
    platform: np.ndarray
    quantity: np.ndarray
    price: np.ndarray
    stars: np.ndarray
    query: np.ndarray

    def __len__(self) -> int:
        return len(self.millisecond)

    def take(self, rows: np.ndarray) -> EventRows:
        """Return some rows, in the order given."""
        return EventRows(*(getattr(self, field.name)[rows] for field in fields(self)))


def event_rows(n: int, **columns: np.ndarray | int | float | bool) -> EventRows:
    """Return n rows with these columns; those not given are absent."""
    absent: dict[str, np.ndarray | int | float | bool | str] = {
        "is_known": True,
        "item": NONE,
        "session": NONE,
        "campaign": NONE,
        "rank": NONE,
        "platform": NONE,
        "quantity": NONE,
        "price": np.nan,
        "stars": np.nan,
        "query": "",
    }
    filled = {}
    for field in fields(EventRows):
        value = columns[field.name] if field.name in columns else absent[field.name]
        dtype = object if field.name == "query" else None
        filled[field.name] = np.broadcast_to(np.asarray(value, dtype=dtype), (n,))
    return EventRows(**filled)


def joined(parts: Sequence[EventRows]) -> EventRows:
    """Return all rows, in order of time (equal times: in the order given)."""
    columns = (np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(EventRows))
    rows = EventRows(*columns)
    return rows.take(np.argsort(rows.millisecond, kind="stable"))


def json_lines(rows: EventRows, catalogue: Catalogue, shard: Shard, day: int) -> list[str]:
    """Return one JSON object a row, absent values left out (user_id stays: empty is an anonymous visitor)."""
    date, compact = day_of(day).isoformat(), day_of(day).strftime("%Y%m%d")
    local_midnight = day_of(day + 1).isoformat()
    known = {int(visitor): shard.user_id(int(visitor)) for visitor in np.unique(rows.visitor[rows.is_known])}
    regions = {int(visitor): _quoted(shard.region_name(int(visitor))) for visitor in np.unique(rows.visitor)}
    columns = (getattr(rows, field.name).tolist() for field in fields(EventRows))
    lines = []
    for number, row in enumerate(zip(*columns, strict=True)):
        ms, visitor, is_known, type_, item, session, campaign, rank, platform, quantity, price, stars, query = row
        if platform == LOCAL_TIME_PLATFORM:
            local = ms + LOCAL_OFFSET_HOURS * 3_600_000
            at = _clock(local, date) if local < 86_400_000 else _clock(local - 86_400_000, local_midnight)
            at += f"+{LOCAL_OFFSET_HOURS:02d}:00"
        else:
            at = _clock(ms, date) + "Z"
        text = (
            f'{{"event_id":"e{compact}{shard.index:04d}{number:06d}","event_at":"{at}",'
            f'"user_id":"{known[visitor] if is_known else ""}","event_type":"{EVENT_TYPES[type_]}"'
        )
        if item >= 0:
            text += f',"item_id":"{catalogue.item_id(item)}"'
        if campaign >= 0:
            text += f',"campaign_id":"c{campaign:05d}"'
        if session >= 0:
            text += f',"session_id":"s{compact}-{shard.index}-{session}"'
        if query:
            text += f',"query":{_quoted(query)}'
        if quantity >= 0:
            text += f',"quantity":{quantity},"unit_price":{price},"currency":"CNY"'
        if stars == stars:
            text += f',"rating":{stars}'
        if platform >= 0:
            text += f',"platform":"{PLATFORMS[platform]}"'
        text += f',"region":{regions[visitor]}'
        if rank >= 0:
            text += f',"recommendation_id":"home-{compact}-{shard.index}-{session}-{rank}"'
        lines.append(text + "}")
    return lines


def _clock(millisecond: int, date: str) -> str:
    seconds, ms = divmod(millisecond, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{date}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

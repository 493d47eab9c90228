"""The features that portraits rest on, as arrays: users and items by position in the sorted lists of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import duckdb
import numpy as np

from ml.portraits.sensitive import is_sensitive
from ml.recommender.dataset import day_number, last_day_of
from qianmian.step import StepError

#: How much one action says about liking an item, in views: the numbers of dbt's macro action_weight.
WEIGHTS = {"purchase": 5, "cart": 3, "favorite": 3, "rating": 2, "click": 1, "view": 1}
PLATFORM_UNKNOWN = "unknown"


@dataclass(frozen=True)
class People:
    """The users: arrays in the order of their ids; days since 1970-01-01, nan where there is none."""

    user_ids: np.ndarray
    registered: np.ndarray
    lifecycle_stage: np.ndarray
    platform: np.ndarray
    active_hour: np.ndarray
    orders_90d: np.ndarray
    average_order_value: np.ndarray
    is_cold_start: np.ndarray

    def __len__(self) -> int:
        return len(self.user_ids)


@dataclass(frozen=True)
class Goods:
    """The items, in the order of their ids. `category` and `brand` are empty where none may be told."""

    item_ids: np.ndarray
    titles: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    shelf: np.ndarray
    price: np.ndarray
    created: np.ndarray
    text_hashes: np.ndarray


@dataclass(frozen=True)
class Actions:
    """Actions on items of the last 365 days, by user, then time; `time` in days, `weight` in views' worth."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    is_purchase: np.ndarray
    order: np.ndarray
    unit_price: np.ndarray
    usual_price: np.ndarray


@dataclass(frozen=True)
class ActiveHours:
    """Hours in which a user was active on a platform, by user, then time.

    `day` (UTC) and `local_day` (in the shop's time zone, as `hour` is) count from 1970-01-01.
    """

    user: np.ndarray
    day: np.ndarray
    local_day: np.ndarray
    hour: np.ndarray
    platform: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True)
class Reviews:
    """Reviews, by time, then id; `user` is -1 where the writer may not be personalised, `rating` nan for none."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    rating: np.ndarray
    text: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """All that one day's portraits rest on."""

    as_of: date
    people: People
    goods: Goods
    actions: Actions
    hours: ActiveHours
    reviews: Reviews

    @cached_property
    def last_day(self) -> date:
        """The last day up to the as-of date on which anybody acted: in silence no belief fades (see `Shop`)."""
        return last_day_of(np.concatenate((self.actions.time, self.hours.day)), self.as_of)

    @property
    def end_of_day(self) -> float:
        """When the shop's last day is over, in days since 1970-01-01."""
        return day_number(self.last_day) + 1.0


def _strings(values: Any) -> np.ndarray:
    return np.asarray(np.ma.filled(values, ""), dtype=object)


def _floats(values: Any) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


_PLACES = """
    users as (
        select user_id, row_number() over (order by user_id) - 1 as place from features.features.user_features
    ),
    items as (
        select item_id, row_number() over (order by item_id) - 1 as place from features.features.item_features
    )
"""


def load_evidence(connection: duckdb.DuckDBPyConnection, as_of: str) -> Evidence:
    """Read everything; memory goes with the actions of a year, about 80 bytes each.

    Raises:
        StepError: there are no items.

    """
    goods = _goods(connection)
    if not len(goods.item_ids):
        raise StepError("features.item_features has no item.", "Check the items feed.")
    return Evidence(
        date.fromisoformat(as_of), _people(connection), goods, _actions(connection), _hours(connection),
        _reviews(connection),
    )  # fmt: skip


def _people(connection: duckdb.DuckDBPyConnection) -> People:
    rows = connection.execute(
        """
        select
            *, cast(registered_on - date '1970-01-01' as double) as registered
        from features.features.user_features
        order by user_id
        """
    ).fetchnumpy()
    return People(
        _strings(rows["user_id"]), _floats(rows["registered"]), _strings(rows["lifecycle_stage"]),
        _strings(rows["platform"]), _floats(rows["active_hour"]), _floats(rows["orders_90d"]),
        _floats(rows["average_order_value"]), np.asarray(rows["is_cold_start"], dtype=bool),
    )  # fmt: skip


def _goods(connection: duckdb.DuckDBPyConnection) -> Goods:
    rows = connection.execute(
        """
        select
            item_id, title, category_path, category, brand, price, text_hash,
            cast(created_on - date '1970-01-01' as double) as created
        from features.features.item_features
        order by item_id
        """
    ).fetchnumpy()
    shelf, category, brand = (_strings(rows[name]) for name in ("category_path", "category", "brand"))
    hidden_names = {name for name in {*shelf, *category, *brand} if is_sensitive(name)}
    hidden = np.array(
        [not hidden_names.isdisjoint(names) for names in zip(shelf, category, brand, strict=True)], dtype=bool
    )
    return Goods(
        _strings(rows["item_id"]), _strings(rows["title"]), np.where(hidden, "", category),
        np.where(hidden, "", brand), shelf, _floats(rows["price"]), _floats(rows["created"]),
        _strings(rows["text_hash"]),
    )  # fmt: skip


def _actions(connection: duckdb.DuckDBPyConnection) -> Actions:
    weight = " ".join(f"when '{event}' then {value}" for event, value in WEIGHTS.items())
    rows = connection.execute(
        f"""
        with {_PLACES}
        select
            users.place as user_place, items.place as item_place, epoch_us(actions.event_at) / 86400e6 as time,
            cast(case actions.event_type {weight} else 0 end as double) as weight,
            actions.event_type = 'purchase' as is_purchase,
            dense_rank() over (
                order by users.place, coalesce(actions.session_id, cast(actions.event_date as varchar))
            ) as order_number,
            case when actions.event_type = 'purchase' and actions.quantity > 0
                then actions.amount / actions.quantity end as unit_price,
            usual.usual_price
        from features.features.user_actions as actions
        inner join users using (user_id)
        inner join items using (item_id)
        left join features.features.usual_prices as usual
            on actions.event_type = 'purchase' and actions.item_id = usual.item_id
            and actions.event_date = usual.event_date
        order by users.place, actions.event_at, actions.event_id
        """  # noqa: S608 - numbers of this module
    ).fetchnumpy()
    return Actions(
        np.asarray(rows["user_place"], dtype=np.int64), np.asarray(rows["item_place"], dtype=np.int64),
        _floats(rows["time"]), _floats(rows["weight"]), np.asarray(rows["is_purchase"], dtype=bool),
        np.asarray(rows["order_number"], dtype=np.int64), _floats(rows["unit_price"]),
        _floats(rows["usual_price"]),
    )  # fmt: skip


def _hours(connection: duckdb.DuckDBPyConnection) -> ActiveHours:
    rows = connection.execute(
        f"""
        with {_PLACES}
        select
            users.place as user_place, event_date - date '1970-01-01' as day,
            local_date - date '1970-01-01' as local_day, event_hour, platform, actions
        from features.features.user_days
        inner join users using (user_id)
        order by users.place, local_date, event_hour, event_date, platform
        """  # noqa: S608 - no text from outside
    ).fetchnumpy()
    return ActiveHours(
        np.asarray(rows["user_place"], dtype=np.int64), _floats(rows["day"]), _floats(rows["local_day"]),
        np.asarray(rows["event_hour"], dtype=np.int64), _strings(rows["platform"]), _floats(rows["actions"]),
    )  # fmt: skip


def _reviews(connection: duckdb.DuckDBPyConnection) -> Reviews:
    rows = connection.execute(
        f"""
        with {_PLACES}
        select
            coalesce(users.place, -1) as user_place, items.place as item_place,
            epoch_us(created_at) / 86400e6 as time, rating, text
        from features.features.item_reviews
        inner join items using (item_id)
        left join users using (user_id)
        order by created_at, review_id
        """  # noqa: S608 - no text from outside
    ).fetchnumpy()
    return Reviews(
        np.asarray(rows["user_place"], dtype=np.int64), np.asarray(rows["item_place"], dtype=np.int64),
        _floats(rows["time"]), _floats(rows["rating"]), _strings(rows["text"]),
    )  # fmt: skip

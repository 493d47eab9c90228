"""The features as arrays: users, items and actions by position in the sorted lists of their ids."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from expectations.tables import FEATURES, features_db
from qianmian.step import StepError

EVENT_CODES = {
    name: code
    for code, name in enumerate(("view", "click", "cart", "favorite", "rating", "purchase", "dismiss", "return"))
}
LOCK_PATIENCE_S = 600.0
PURCHASE, DISMISS, RETURN = EVENT_CODES["purchase"], EVENT_CODES["dismiss"], EVENT_CODES["return"]


@dataclass(frozen=True)
class ActionLog:
    """Actions sorted by user, then time. All arrays have one entry an action.

    `time` is in days (fractions too); `step` numbers sessions, growing with user and time: actions of one
    step have no order among them.
    """

    user: np.ndarray
    item: np.ndarray
    event: np.ndarray
    time: np.ndarray
    step: np.ndarray
    quantity: np.ndarray
    n_users: int
    n_items: int

    def __len__(self) -> int:
        return len(self.user)

    def _where(self, kept: np.ndarray, user: np.ndarray, n_users: int) -> ActionLog:
        return ActionLog(
            user, self.item[kept], self.event[kept], self.time[kept], self.step[kept], self.quantity[kept],
            n_users, self.n_items,
        )  # fmt: skip

    def before(self, time: float) -> ActionLog:
        """Return the actions earlier than `time`."""
        kept = self.time < time
        return self._where(kept, self.user[kept], self.n_users)

    def of_users(self, users: np.ndarray) -> ActionLog:
        """Return the actions of `users` (sorted positions), who are numbered anew from 0."""
        place = np.full(self.n_users, -1, dtype=np.int64)
        place[users] = np.arange(len(users))
        user = place[self.user]
        kept = user >= 0
        return self._where(kept, user[kept], len(users))


@dataclass(frozen=True)
class Catalogue:
    """Items sorted by id; `created` is a time in days, -inf where it is not known."""

    item_ids: np.ndarray
    titles: np.ndarray
    text_hashes: np.ndarray
    is_active: np.ndarray
    popularity: np.ndarray
    created: np.ndarray


@dataclass(frozen=True)
class Users:
    """Users sorted by id; `segment` is each one's place in `segments`."""

    user_ids: np.ndarray
    segment: np.ndarray
    segments: tuple[str, ...]


@dataclass(frozen=True)
class Shop:
    """Everything the recommender reads for one day. `segment_scores` is segments x items, 0 where unranked."""

    as_of: date
    users: Users
    catalogue: Catalogue
    log: ActionLog
    segment_scores: np.ndarray

    @cached_property
    def last_day(self) -> date:
        """The last day up to the as-of date on which anybody acted; the as-of date where nobody did.

        The shop's own day: a day without any action makes nothing older, so that lists stand still in silence
        and a tracker that fails for a week makes nobody a stranger.
        """
        return last_day_of(self.log.time, self.as_of)

    @property
    def end_of_day(self) -> float:
        """Time, in days, at which the shop's last day is over: ages are counted back from here."""
        return day_number(self.last_day) + 1.0


def day_number(day: date) -> float:
    """Return days since 1970-01-01."""
    return float((day - date(1970, 1, 1)).days)


def last_day_of(times: np.ndarray, as_of: date) -> date:
    """Return the last day up to `as_of` that is among `times` (in days); `as_of` where there is none."""
    last = float(times.max(initial=-np.inf, where=times < day_number(as_of) + 1.0))
    return as_of if last == -np.inf else date(1970, 1, 1) + timedelta(days=int(last // 1))


def connect(lake: Path) -> duckdb.DuckDBPyConnection:
    """Open the features read-only.

    Raises:
        StepError: the file or one of its tables is not there.

    """
    path = features_db(lake)
    if not path.is_file():
        raise StepError(f"{path} is not there.", "Build the features first: dbt build --select tag:features.")
    connection = _when_free(path)
    there = {
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables where table_schema = 'features'"
        ).fetchall()
    }
    missing = sorted(set(FEATURES) - there)
    if missing:
        connection.close()
        raise StepError(
            f"{path} lacks the table(s) {', '.join(missing)} in schema features.",
            "Build the features first: dbt build --select tag:features.",
        )
    return connection


def require_features_of(connection: duckdb.DuckDBPyConnection, as_of: str) -> None:
    """Refuse features that are not of the day that a training is for, as dbt does before it makes tables of them.

    Also those of a build that broke off on an earlier day: they hold actions which a model is to predict.

    Raises:
        StepError: they are of another day, or older than the table that says of which.

    """
    try:
        [(built_for, last)] = connection.execute(
            "select (select as_of_date from features.intermediate.int_as_of), "
            "(select max(event_date) from features.features.user_actions)"
        ).fetchall()
    except duckdb.CatalogException:
        built_for, last = "a day that they do not tell", None
    found = last if last and str(last) > as_of else built_for
    if str(found) != as_of:
        raise StepError(
            f"The shop's features are those of {found}; this training is for {as_of}.",
            f"Run the daily job for {as_of} first, or train for the day that it ran for last.",
        )


def last_day_in(connection: duckdb.DuckDBPyConnection, as_of: str) -> date:
    """Return what `Shop.last_day` says, from the features alone."""
    [(last,)] = connection.execute(
        """
        select coalesce(max(event_date), cast($1 as date))
        from features.features.user_actions
        where event_date <= cast($1 as date)
        """,
        [as_of],
    ).fetchall()
    return date.fromisoformat(str(last))


def _when_free(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file when dbt has done with it: it lets nobody read while it writes."""
    waiting_since = time.monotonic()
    while True:
        try:
            return duckdb.connect(str(path), read_only=True, config={"threads": 2})
        except duckdb.IOException as error:
            if "lock" not in str(error) or time.monotonic() - waiting_since > LOCK_PATIENCE_S:
                raise
            time.sleep(1.0)


def _strings(values: Any) -> np.ndarray:
    return np.asarray(np.ma.filled(values, ""), dtype=object)


def load_shop(connection: duckdb.DuckDBPyConnection, as_of: str) -> Shop:
    """Read users, items and actions of the features.

    Raises:
        StepError: there are no users or no items to recommend.

    """
    items = connection.execute(
        """
        select
            item_id, title, text_hash, is_active, popularity,
            coalesce(cast(created_on - date '1970-01-01' as double), '-inf') as created
        from features.features.item_features
        order by item_id
        """
    ).fetchnumpy()
    catalogue = Catalogue(
        _strings(items["item_id"]),
        _strings(items["title"]),
        _strings(items["text_hash"]),
        np.asarray(items["is_active"], dtype=bool),
        np.asarray(items["popularity"], dtype=np.float64),
        np.asarray(items["created"], dtype=np.float64),
    )
    if not catalogue.is_active.any():
        raise StepError(
            "features.item_features has no active item.", "Check is_active and stock in the items feed."
        )
    found = connection.execute(
        "select user_id, segment from features.features.user_features order by user_id"
    ).fetchnumpy()
    segment_of = _strings(found["segment"])
    segments = (*sorted(set(segment_of)), "all")
    place = {name: number for number, name in enumerate(segments)}
    users = Users(
        _strings(found["user_id"]), np.array([place[name] for name in segment_of], dtype=np.int64), segments
    )
    return Shop(
        date.fromisoformat(as_of),
        users,
        catalogue,
        _load_log(connection, len(users.user_ids), len(catalogue.item_ids)),
        _load_segment_scores(connection, segments, len(catalogue.item_ids)),
    )


def _load_log(connection: duckdb.DuckDBPyConnection, n_users: int, n_items: int) -> ActionLog:
    rows = connection.execute(
        """
        with users as (
            select user_id, row_number() over (order by user_id) - 1 as place from features.features.user_features
        ),
        items as (
            select item_id, row_number() over (order by item_id) - 1 as place from features.features.item_features
        )
        select
            users.place as user_place, items.place as item_place, actions.event_type,
            epoch_us(actions.event_at) / 86400e6 as days,
            coalesce(actions.quantity, 1) as quantity,
            -- A session is a step; where the shop keeps none, a day is.
            coalesce(actions.session_id, cast(actions.event_date as varchar)) is distinct from
            lag(coalesce(actions.session_id, cast(actions.event_date as varchar)))
                over (partition by users.place order by actions.event_at, actions.event_id) as is_new_step
        from features.features.user_actions as actions
        inner join users using (user_id)
        inner join items using (item_id)
        order by users.place, actions.event_at, actions.event_id
        """
    ).fetchnumpy()
    event = np.array([EVENT_CODES.get(name, -1) for name in _strings(rows["event_type"])], dtype=np.int8)
    kept = event >= 0
    return ActionLog(
        np.asarray(rows["user_place"], dtype=np.int64)[kept],
        np.asarray(rows["item_place"], dtype=np.int64)[kept],
        event[kept],
        np.asarray(rows["days"], dtype=np.float64)[kept],
        np.cumsum(np.asarray(rows["is_new_step"], dtype=np.int64))[kept],
        np.asarray(rows["quantity"], dtype=np.float64)[kept],
        n_users,
        n_items,
    )


def _load_segment_scores(
    connection: duckdb.DuckDBPyConnection, segments: tuple[str, ...], n_items: int
) -> np.ndarray:
    rows = connection.execute(
        """
        select segment_items.segment, items.place, segment_items.score
        from features.features.segment_items as segment_items
        inner join (
            select item_id, row_number() over (order by item_id) - 1 as place from features.features.item_features
        ) as items using (item_id)
        """
    ).fetchnumpy()
    scores = np.zeros((len(segments), n_items))
    number = {name: row for row, name in enumerate(segments)}
    for segment, place, score in zip(_strings(rows["segment"]), rows["place"], rows["score"], strict=True):
        if segment in number:
            scores[number[segment], int(place)] = score
    return scores

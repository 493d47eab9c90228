"""Repeats on a history so small that every feature can be written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.recommender.repeat_features import FEATURES, NO_GAP, RATE_PRIOR, item_sales, orders_of, repeat_features

MILK, BREAD, LAMP = range(3)
AS_OF = 40.0


def log_of(*rows: tuple[int, float, int], n_users: int = 2, event: str = "purchase") -> ActionLog:
    """Rows are (user, time, item)."""
    rows = tuple(sorted(rows))
    user, time, item = (np.array([row[n] for row in rows]) for n in range(3))
    codes = np.full(len(rows), EVENT_CODES[event], dtype=np.int8)
    return ActionLog(
        user.astype(np.int64), item.astype(np.int64), codes, time.astype(float), np.arange(len(rows)),
        np.ones(len(rows)), n_users, 3,
    )  # fmt: skip


SHOPPER = log_of((0, 10.2, MILK), (0, 10.7, MILK), (0, 20.0, BREAD), (0, 30.5, MILK), (0, 30.5, BREAD))


def features_of(log: ActionLog, item: int, user: int = 0) -> dict[str, float]:
    items = np.full((log.n_users, 1), item)
    found = repeat_features(log, AS_OF, item_sales(log, AS_OF), items)
    assert len(found) == len(FEATURES)
    return {name: float(values[user, 0]) for name, values in zip(FEATURES, found, strict=True)}


def test_an_order_is_a_day_and_a_line_counts_once() -> None:
    orders = orders_of(SHOPPER)
    assert orders.n_orders.tolist() == [3, 0]
    assert orders.order_size.tolist() == [1, 1, 2]
    lines = list(zip(orders.item, orders.day, orders.place, strict=True))
    assert lines == [(MILK, 10, 0), (MILK, 30, 2), (BREAD, 20, 1), (BREAD, 30, 2)]


def test_numbers_of_a_large_shop_do_not_overflow() -> None:
    """The same orders among 3 million users and a billion items: only positions differ."""
    small = log_of(*((user, float(day), user * day % 3) for user in range(1000) for day in range(4)), n_users=1000)
    far_user, far_item = 3_000_000 - 1000, 1_000_000_000 - 3
    large = replace(
        small, user=small.user + far_user, item=small.item + far_item, n_users=3_000_000, n_items=1_000_000_000
    )
    of_small, of_large = orders_of(small), orders_of(large)
    assert np.array_equal(of_large.user - far_user, of_small.user)
    assert np.array_equal(of_large.item - far_item, of_small.item)
    for name in ("row", "place", "day", "order_size", "starts"):
        assert np.array_equal(getattr(of_large, name), getattr(of_small, name)), name


def test_what_was_bought_twice() -> None:
    milk = features_of(SHOPPER, MILK)
    expected = {
        "n_orders": 3, "order_size": 4 / 3, "last_order_size": 2, "order_gap": 10, "last_order_gap": 10,
        "order_share": 2 / 3, "share_since_first": 2 / 3, "again_rate": 1.3 / 3, "orders_since_last": 0,
        "own_gap": 20, "own_due": 0.5, "faded_0.5": 1.25, "days_unsold": 10,
    }  # fmt: skip
    assert {name: milk[name] for name in expected} == pytest.approx(expected)
    # Bread was bought in both orders since its first.
    assert features_of(SHOPPER, BREAD)["share_since_first"] == pytest.approx(1.0)


def test_what_was_never_bought_and_who_never_bought() -> None:
    for log, user in ((SHOPPER, 0), (SHOPPER, 1), (log_of((0, 10.0, MILK), event="view"), 0)):
        lamp = features_of(log, LAMP, user)
        assert lamp["order_share"] == lamp["faded_0.85"] == lamp["again_rate"] == 0
        assert lamp["own_gap"] == lamp["own_due"] == lamp["orders_since_last"] == NO_GAP
        assert lamp["days_unsold"] == 1e4
        assert np.isfinite(list(lamp.values())).all()


def test_sales_are_counted_as_of_the_moment() -> None:
    sales = item_sales(SHOPPER, AS_OF)
    # Milk had two later orders to come back in and did once; bread one and did.
    average = 2 / 3
    assert sales.again_per_order[:2] == pytest.approx(
        [(1 + RATE_PRIOR * average) / (2 + RATE_PRIOR), (1 + RATE_PRIOR * average) / (1 + RATE_PRIOR)]
    )
    assert sales.sold[:, 0].tolist() == [100, 100, 0]
    assert item_sales(SHOPPER, 15.0).sold[:, 0].tolist() == [100, 0, 0]

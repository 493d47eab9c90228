"""What a user's earlier purchases of a candidate say about the next: how often, how regularly, how lately.

An order here is a day on which the user bought. Frequency that fades with every later order follows TIFU-KNN (Hu
et al., 2020); chances counted only from the first purchase on follow UP-CF (Faggioli et al., 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.recommender.dataset import PURCHASE, ActionLog

#: Share that a purchase keeps with each later order of the user.
FADES = (0.5, 0.7, 0.85)
RATE_PRIOR = 20.0  # orders of its buyers at the shop's average, before an item's own count
WINDOWS = (14.0, 28.0, 120.0)  # days of recent sales
FEATURES = (
    "n_orders", "order_size", "last_order_size", "order_gap", "last_order_gap",
    "order_share", "share_since_first", "again_rate", "orders_since_last", "own_gap", "own_due",
    *(f"faded_{fade}" for fade in FADES),
    "again_per_order", "sold_14", "sold_28", "rise_14", "rise_28", "days_unsold",
)  # fmt: skip
NO_GAP = -1.0  # of who bought once


@dataclass(frozen=True)
class Orders:
    """Orders sorted by user and day, and their lines sorted by user, item and day, none twice.

    Of a line: `row` is its order, `place` that order's number among the user's, from 0. Of an order: `order_user`,
    `order_day`, `order_size` (different items). Of a user: `n_orders`.
    """

    user: np.ndarray
    item: np.ndarray
    row: np.ndarray
    place: np.ndarray
    order_user: np.ndarray
    order_day: np.ndarray
    order_size: np.ndarray
    n_orders: np.ndarray

    @property
    def day(self) -> np.ndarray:
        """Day of each line."""
        return np.asarray(self.order_day[self.row])

    @property
    def starts(self) -> np.ndarray:
        """Where each user and item's purchases begin."""
        if not len(self.user):
            return np.zeros(0, dtype=np.int64)
        is_new = (self.user[1:] != self.user[:-1]) | (self.item[1:] != self.item[:-1])
        return np.flatnonzero(np.concatenate(([True], is_new)))


def user_days(user: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the different pairs of a user and a day (whole numbers), sorted by both, and which each row is of."""
    lowest = int(day.min(initial=0))
    span = int(day.max(initial=0)) - lowest + 1
    keys, row = np.unique(user * span + day - lowest, return_inverse=True)
    return keys // span, keys % span + lowest, row


def orders_of(log: ActionLog) -> Orders:
    """Fold purchases into orders."""
    bought = log.event == PURCHASE
    users, days, row = user_days(log.user[bought], np.floor(log.time[bought]).astype(np.int64))
    # An order and an item in one number, which is small enough at any size: user, item and order are not.
    line = np.unique(row * log.n_items + log.item[bought])
    row, item = line // log.n_items, line % log.n_items
    # Orders are numbered by user, then day: a stable sort leaves each pair's purchases in their order.
    by_pair = np.argsort(users[row] * log.n_items + item, kind="stable")
    row, item = row[by_pair], item[by_pair]
    user = users[row]
    n_orders = np.bincount(users, minlength=log.n_users)
    first = np.cumsum(n_orders) - n_orders
    return Orders(
        user, item, row, row - first[user],
        users, days.astype(float), np.bincount(row, minlength=len(users)), n_orders,
    )  # fmt: skip


@dataclass(frozen=True)
class ItemSales:
    """Of each item, as of a moment: repeats for each later order of its buyers, and recent sales.

    `sold` is items x WINDOWS: orders with it per 100 of all orders then; `days_unsold` since its last.
    """

    again_per_order: np.ndarray
    sold: np.ndarray
    days_unsold: np.ndarray


def item_sales(log: ActionLog, as_of: float) -> ItemSales:
    """Count over the purchases of everyone before `as_of`."""
    orders = orders_of(log.before(as_of))
    starts = orders.starts
    lengths = np.diff(np.concatenate((starts, [len(orders.user)])))
    item = orders.item[starts]
    chances = np.bincount(item, orders.n_orders[orders.user[starts]] - 1 - orders.place[starts], log.n_items)
    again = np.bincount(item, lengths - 1, log.n_items)
    average = again.sum() / max(chances.sum(), 1.0)
    day = orders.day
    age = as_of - day
    sold = np.zeros((log.n_items, len(WINDOWS)))
    for column, days in enumerate(WINDOWS):
        lately = age <= days
        n_orders = (as_of - orders.order_day <= days).sum()
        sold[:, column] = 100.0 * np.bincount(orders.item[lately], minlength=log.n_items) / max(n_orders, 1.0)
    last = np.full(log.n_items, -np.inf)
    np.maximum.at(last, orders.item, day)
    return ItemSales((again + RATE_PRIOR * average) / (chances + RATE_PRIOR), sold, np.minimum(as_of - last, 1e4))


def repeat_features(log: ActionLog, as_of: float, sales: ItemSales, items: np.ndarray) -> list[np.ndarray]:
    """Return FEATURES of candidates, each users x n.

    Args:
        log: the users' own actions, numbered from 0, all before `as_of`.
        as_of: time in days.
        sales: of the items.
        items: users x n item positions.

    """
    orders = orders_of(log)
    starts = orders.starts
    user, item = orders.user[starts], orders.item[starts]
    # 0 in this matrix is never bought, n the n-th entry of what follows.
    entry = sparse.csr_matrix((np.arange(1, len(starts) + 1), (user, item)), shape=(log.n_users, log.n_items))
    rows = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
    at = np.asarray(entry[rows.ravel(), items.ravel()]).reshape(items.shape)

    def cells(values: np.ndarray, never: float) -> np.ndarray:
        return np.concatenate(([never], values))[at]

    def each(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values[:, None], items.shape)

    lengths = np.diff(np.concatenate((starts, [len(orders.user)]))).astype(float)
    last = (starts + lengths - 1).astype(np.int64)
    n_orders = orders.n_orders[user].astype(float)
    later = n_orders - 1 - orders.place[starts]
    orders_since = n_orders - 1 - orders.place[last]
    day = orders.day
    own_gap = np.where(lengths > 1, (day[last] - day[starts]) / np.maximum(lengths - 1, 1), NO_GAP)
    own_due = np.where(lengths > 1, (as_of - day[last]) / np.maximum(own_gap, 1.0), NO_GAP)
    since = orders.n_orders[orders.user] - 1 - orders.place
    faded = [np.add.reduceat(fade**since, starts) if len(starts) else np.zeros(0) for fade in FADES]
    rise = (sales.sold + 0.1) / (sales.sold[:, -1:] + 0.1)
    return [
        *(each(values) for values in _habits(orders)),
        cells(lengths / n_orders, 0.0), cells(lengths / (later + 1.0), 0.0),
        # Repeats for each chance, with one more chance at 0.3.
        cells((lengths - 0.7) / (later + 1.0), 0.0), cells(orders_since, NO_GAP),
        cells(own_gap, NO_GAP), cells(own_due, NO_GAP), *(cells(values, 0.0) for values in faded),
        sales.again_per_order[items], sales.sold[items, 0], sales.sold[items, 1],
        rise[items, 0], rise[items, 1], sales.days_unsold[items],
    ]  # fmt: skip


def _habits(orders: Orders) -> list[np.ndarray]:
    """Return each user's number of orders, their mean size and the last one's, the mean gap and the last one's."""
    n, day = orders.n_orders, orders.order_day
    ends = np.cumsum(n)
    has, more = n > 0, n > 1
    size, last_size = np.zeros(len(n)), np.zeros(len(n))
    gap, last_gap = np.full(len(n), NO_GAP), np.full(len(n), NO_GAP)
    size[has] = np.bincount(orders.order_user, orders.order_size, len(n))[has] / n[has]
    last_size[has] = orders.order_size[ends[has] - 1]
    last = ends[more] - 1
    gap[more] = (day[last] - day[ends[more] - n[more]]) / (n[more] - 1)
    last_gap[more] = day[last] - day[last - 1]
    return [n, size, last_size, gap, last_gap]

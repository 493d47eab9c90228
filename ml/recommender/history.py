"""What each user's actions say about their interest in each item they acted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.recommender.dataset import DISMISS, EVENT_CODES, PURCHASE, RETURN, ActionLog
from ml.recommender.settings import BlendSettings


@dataclass(frozen=True)
class History:
    """One entry per user and item acted on, sorted by both: the rows of a users x items matrix.

    `interest` is the strongest of the user's actions on the item, each faded by its age; it is 0 for a
    dismissed item and negative for a returned one. The weight of one item never depends on another:
    taking an item out leaves all others as they are, which is what makes a reason checkable.
    """

    user: np.ndarray
    item: np.ndarray
    interest: np.ndarray
    is_bought: np.ndarray
    is_returned: np.ndarray
    is_dismissed: np.ndarray
    orders_faded: np.ndarray
    n_users: int
    n_items: int

    @property
    def starts(self) -> np.ndarray:
        """Where each user's entries begin: n_users + 1 positions."""
        return np.concatenate(([0], np.cumsum(np.bincount(self.user, minlength=self.n_users))))

    def barred(self, allows_repeats: bool) -> np.ndarray:
        """Return which entries' items may not be offered: dismissed, wholly returned, bought where none repeat."""
        gone = self.is_dismissed | self.is_returned
        return gone if allows_repeats else gone | self.is_bought

    def matrix(self, values: np.ndarray) -> sparse.csr_matrix:
        """Return `values`, one an entry, as a users x items matrix."""
        return sparse.csr_matrix((values, self.item, self.starts), shape=(self.n_users, self.n_items))


def recency(age: np.ndarray, half_life: float, floor: float = 0.0) -> np.ndarray:
    """Return the weight, `floor` to 1, of actions `age` days old."""
    return floor + (1.0 - floor) * 0.5 ** (age / half_life)


def strength_by_code(settings: BlendSettings) -> np.ndarray:
    """Return the strength of each event code; 0 for dismissals and returns."""
    return np.array([settings.strengths.get(name, 0.0) for name in EVENT_CODES])


def build_history(log: ActionLog, as_of: float, settings: BlendSettings) -> History:
    """Fold actions into one entry per user and item.

    Args:
        log: actions, all earlier than `as_of`.
        as_of: time, in days, from which ages are counted.
        settings: strengths, half-lives and the return penalty.

    """
    key = log.user * log.n_items + log.item
    order = np.argsort(key, kind="stable")
    key = key[order]
    event, time, step = log.event[order], log.time[order], log.step[order]
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.array([], int)
    age = as_of - time
    faded = recency(age, settings.half_life, settings.recency_floor)
    is_purchase, is_return = event == PURCHASE, event == RETURN

    def largest(values: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(values, starts) if len(starts) else values[:0]

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts) if len(starts) else values[:0].astype(float)

    quantity = log.quantity[order]
    net = total(np.where(is_purchase, quantity, 0.0) - np.where(is_return, quantity, 0.0))
    is_returned = largest(is_return) & (net <= 0)
    is_dismissed = largest(event == DISMISS)
    interest = largest(strength_by_code(settings)[event] * faded)
    interest = np.where(is_returned, -settings.return_penalty * largest(is_return * faded), interest)
    interest = np.where(is_dismissed, 0.0, interest)
    # Several lines of one order are one decision.
    same_order = np.zeros(len(key), dtype=bool)
    same_order[1:] = (key[1:] == key[:-1]) & (step[1:] == step[:-1]) & is_purchase[1:] & is_purchase[:-1]
    orders = np.where(is_purchase & ~same_order, recency(age, settings.repeat_half_life), 0.0)
    return History(
        key[starts] // log.n_items,
        key[starts] % log.n_items,
        interest,
        largest(is_purchase),
        is_returned,
        is_dismissed,
        np.where(is_returned, 0.0, total(orders)),
        log.n_users,
        log.n_items,
    )

"""Place after place, the candidate that adds most: by its score, and by how little it is like those above it.

Maximises, item by item,

    dpp    (1 - v) sum of log score + v log det S        (Chen, Zhang, Zhou, 2018, algorithm 1 and equation 22)
    mmr    (1 - v) log score - v largest S with an item above it        (Carbonell, Goldstein, 1998)

S being how alike the candidates are and v the `variety` of the place. Rules bound the choice: what may stand
where, pins, caps, the long tail's share. A bound within which nothing is left to choose is let go of: a list is
full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

LEAST = 1e-10  # of the variance that the items above leave
NO_PIN, HELD = -1, -2  # in the place of a pin's column: none; the place stays empty


class Bound(IntEnum):
    """What kept a candidate from a place; of several the first in this order is told."""

    NONE = 0
    BRAND_CAP = 1
    CATEGORY_CAP = 2
    SEEN = 3
    TAIL_SHARE = 4


@dataclass(frozen=True)
class Cap:
    """At most `most` of a list are of one group; `codes` is users x candidates, -1 belongs to none."""

    bound: Bound
    codes: np.ndarray
    most: int


@dataclass(frozen=True)
class Constraints:
    """What bounds the choice, all users x candidates but `pins`: users x places, a candidate, NO_PIN or HELD.

    `allowed` is never let go of; `seen` are to be avoided; of `tail` at least `n_tail` are wanted.
    """

    allowed: np.ndarray
    pins: np.ndarray
    seen: np.ndarray
    caps: Sequence[Cap]
    tail: np.ndarray
    n_tail: int

    def left_for_one_more(self, chosen: np.ndarray) -> np.ndarray:
        """Return which candidates may join lists (users x places) without breaking a cap; if none, any."""
        users = np.arange(len(chosen))[:, None]
        left = self.allowed.copy()
        for place in range(chosen.shape[1]):
            there = np.flatnonzero(chosen[:, place] >= 0)
            left[there, chosen[there, place]] = False
        for cap in self.caps:
            listed = np.where(chosen >= 0, cap.codes[users, np.maximum(chosen, 0)], -1)
            count = (listed[:, :, None] == cap.codes[:, None, :]).sum(axis=1)
            within = left & ~((cap.codes >= 0) & (count >= cap.most))
            left = np.where(within.any(axis=1)[:, None], within, left)
        within = left & ~self.seen
        return np.where(within.any(axis=1)[:, None], within, left)


class _Dpp:
    """log det S grows by the log of what the items above leave unexplained: a Cholesky row an item."""

    def __init__(self, similarity: np.ndarray, length: int) -> None:
        n_users, n, _ = similarity.shape
        self.similarity = similarity
        self.rows = np.zeros((n_users, length, n), dtype=np.float64)
        self.left = np.ones((n_users, n))

    def gain(self) -> np.ndarray:
        return np.log(self.left)

    def add(self, chosen: np.ndarray, place: int, there: np.ndarray) -> None:
        users = np.arange(len(chosen))
        above = self.rows[:, :place]
        explained = np.einsum("ut,utn->un", above[users, :, chosen], above)
        row = (self.similarity[users, chosen] - explained) / np.sqrt(self.left[users, chosen])[:, None]
        row[~there] = 0.0
        self.rows[:, place] = row
        self.left = np.maximum(self.left - row**2, LEAST)


class _Mmr:
    """The most alike of the items above."""

    def __init__(self, similarity: np.ndarray, length: int) -> None:
        self.similarity = similarity
        self.nearest = np.zeros(similarity.shape[:2])

    def gain(self) -> np.ndarray:
        return -self.nearest

    def add(self, chosen: np.ndarray, place: int, there: np.ndarray) -> None:
        nearest = np.where(there[:, None], self.similarity[np.arange(len(chosen)), chosen], 0.0)
        np.maximum(self.nearest, nearest, out=self.nearest)


def choose(
    relevance: np.ndarray,
    similarity: np.ndarray,
    variety: np.ndarray,
    method: str,
    length: int,
    bounds: Constraints,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates of each user's list, and what kept the others out.

    Args:
        relevance: users x candidates, logs of scores; -inf for no candidate.
        similarity: users x candidates x candidates, positive semi-definite with 1 on the diagonal.
        variety: v above, in [0, 1), one a place.
        method: dpp or mmr.
        length: of the lists.
        bounds: the rules.

    Returns:
        users x length columns of the candidates, -1 past a list's end; and users x candidates, the first `Bound`
        that kept a candidate from a place that was its by score and variety. A HELD place is -1 too.

    Time is users x length x candidates x length, memory users x length x candidates float64.

    """
    n_users, n = relevance.shape
    users = np.arange(n_users)
    state = (_Dpp if method == "dpp" else _Mmr)(similarity, length)
    chosen = np.full((n_users, length), -1, dtype=np.int64)
    kept_by = np.full((n_users, n), int(Bound.NONE), dtype=np.int8)
    left = bounds.allowed & np.isfinite(relevance)
    pinned = np.zeros((n_users, n), dtype=bool)
    with_pin = bounds.pins >= 0
    pinned[np.nonzero(with_pin)[0], bounds.pins[with_pin]] = True
    counts = [np.zeros((n_users, n), dtype=np.int64) for _ in bounds.caps]
    tail_left = np.full(n_users, bounds.n_tail)
    for place in range(length):
        free = left & ~pinned
        # Each bound holds only where the user has something left within it and the bounds before it.
        open_ = free
        needs_tail = tail_left >= length - place
        closed = [
            *((c.bound, (c.codes >= 0) & (count >= c.most)) for c, count in zip(bounds.caps, counts, strict=True)),
            (Bound.SEEN, bounds.seen),
            (Bound.TAIL_SHARE, needs_tail[:, None] & ~bounds.tail),
        ]
        for _, barred in closed:
            within = open_ & ~barred
            open_ = np.where(within.any(axis=1)[:, None], within, open_)
        v = variety[place]
        gain = (1.0 - v) * relevance + v * state.gain() if v else relevance
        pick = np.where(open_, gain, -np.inf).argmax(axis=1)
        has_pin = bounds.pins[:, place] >= 0
        pick = np.where(has_pin, bounds.pins[:, place], pick)
        there = has_pin | (open_.any(axis=1) & (bounds.pins[:, place] != HELD))
        passed_over = free & ~open_ & (gain > gain[users, pick][:, None]) & (kept_by == Bound.NONE)
        passed_over &= (there & ~has_pin)[:, None]
        for bound, barred in closed:
            kept_by[passed_over & barred & (kept_by == Bound.NONE)] = bound
        chosen[there, place] = pick[there]
        left[users[there], pick[there]] = False
        for cap, count in zip(bounds.caps, counts, strict=True):
            count += (cap.codes == cap.codes[users, pick][:, None]) & there[:, None]
        tail_left = tail_left - (bounds.tail[users, pick] & there)
        if variety[place + 1 :].any():
            state.add(pick, place, there)
    return chosen, kept_by

"""Closed-form models of items by items: what is bought next, and what is in one user's history together.

    next basket:  W = (X' D X + l I)^-1 X' D Y
    together:     W = -P / diag(P), diagonal 0, where P = (U' U + m I)^-1 (EASE; Steck, 2019, equation 8)

Row t of X is what a user did on the days before day t, row t of Y what was bought on it (divided by the root of
the order's size), and D halves with age; buying again is W's diagonal. Row u of U is what user u did up to now.
Rows of X and U are square roots of sums of strengths over the last N_DAYS days with actions, scaled to length 1; a
user's scores are this row x W. Items beyond the MAX_ITEMS that most users acted on are in neither: they score 0.

Sums over all users and what is solved from them are float64: in float32 the sums of popular items are off by more
than the penalty. The log is read some users at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve, lapack

from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.history import recency, strength_by_code
from ml.recommender.repeat_features import user_days
from ml.recommender.settings import BlendSettings

log = logging.getLogger(__name__)

MAX_ITEMS = 5_000  # each W is then 100 MB and takes seconds, and 400 MB while it is solved
N_DAYS = 24  # of a user's days with actions, those that are read
PENALTY = 6.0
TOGETHER_PENALTY = 1.0
HALF_LIFE = 120.0
BLOCK_DAYS = 100_000  # users' days read at once: 60 MB for what came before each
BLOCK_ITEMS = 500  # rows of a sum made at once: 20 MB
MAX_RAISES = 8  # of a penalty, tenfold each


@dataclass(frozen=True)
class _Days:
    """Users' days with actions, sorted by both: sparse days x items of strengths and of purchases (0 or 1)."""

    user: np.ndarray
    day: np.ndarray
    strength: sparse.csr_matrix
    bought: sparse.csr_matrix

    def blocks(self) -> Iterator[_Days]:
        """Return all days in parts of BLOCK_DAYS or a little more, no user's in two."""
        begin, n = 0, len(self.user)
        while begin < n:
            last_user = self.user[min(begin + BLOCK_DAYS, n) - 1]
            end = int(np.searchsorted(self.user, last_user, side="right"))
            rows = slice(begin, end)
            yield _Days(self.user[rows], self.day[rows], self.strength[rows], self.bought[rows])
            begin = end


def _days_of(log: ActionLog, settings: BlendSettings) -> _Days:
    strength = strength_by_code(settings)[log.event]
    kept = np.flatnonzero(strength > 0)
    day = np.floor(log.time[kept]).astype(np.int64)
    users, days, row = user_days(log.user[kept], day)
    shape = (len(users), log.n_items)
    cell = row * log.n_items + log.item[kept]
    order = np.lexsort((-strength[kept], cell))
    first = order[np.concatenate(([True], cell[order][1:] != cell[order][:-1]))] if len(order) else order
    place = (row[first], log.item[kept][first])
    is_bought = np.unique(cell[log.event[kept] == PURCHASE])
    bought = (is_bought // log.n_items, is_bought % log.n_items)
    return _Days(
        users,
        days,
        sparse.csr_matrix((strength[kept][first], place), shape=shape),
        sparse.csr_matrix((np.ones(len(is_bought)), bought), shape=shape),
    )


def _unit_roots(sums: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the square roots of the cells, each row of length 1 (or 0)."""
    total = np.maximum(np.asarray(sums.sum(axis=1)).ravel(), 1e-12)
    return (sparse.diags(total**-0.5) @ sums.sqrt()).tocsr()


def _before_each_day(days: _Days) -> sparse.csr_matrix:
    """Return, days x items, the sums over the N_DAYS days of the user before each day."""
    n = len(days.user)
    rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for gap in range(1, min(N_DAYS, n - 1) + 1):
        earlier = np.flatnonzero(days.user[: n - gap] == days.user[gap:])
        rows.append(earlier + gap)
        columns.append(earlier)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return (sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(n, n)) @ days.strength).tocsr()


def _past_of(days: _Days, n_users: int) -> sparse.csr_matrix:
    """Return each user's last N_DAYS days: users x items, rows of length 1 (0 without actions)."""
    ends = np.searchsorted(days.user, np.arange(n_users), side="right")
    late = np.flatnonzero(ends[days.user] - np.arange(len(days.user)) <= N_DAYS)
    whose = sparse.csr_matrix((np.ones(len(late)), (days.user[late], late)), shape=(n_users, len(days.user)))
    return _unit_roots((whose @ days.strength).tocsr())


@dataclass(frozen=True)
class ItemRegressions:
    """Both models over the items `kept` (sorted positions): float32, kept x kept."""

    kept: np.ndarray
    next_basket: np.ndarray
    together: np.ndarray
    settings: BlendSettings

    def scores(self, log: ActionLog) -> tuple[np.ndarray, np.ndarray]:
        """Return what both models give all items to the users of `log`: users x items float32 each."""
        past = _past_of(_days_of(log, self.settings), log.n_users)[:, self.kept].astype(np.float32)
        found = np.zeros((2, log.n_users, log.n_items), dtype=np.float32)
        for scores, weights in zip(found, (self.next_basket, self.together), strict=True):
            scores[:, self.kept] = past @ weights
        return found[0], found[1]


def learn_regressions(
    log: ActionLog, is_candidate: np.ndarray, as_of: float, settings: BlendSettings
) -> ItemRegressions:
    """Fit both on the actions before `as_of` (a time in days); what is no candidate is evidence only."""
    log = log.before(as_of)
    users = np.bincount(np.unique(log.user * log.n_items + log.item) % log.n_items, minlength=log.n_items)
    # Of equals the item whose id comes first.
    kept = np.sort(np.lexsort((np.arange(log.n_items), -users))[:MAX_ITEMS])
    kept = kept[users[kept] > 0]
    if not len(kept):
        nothing = np.zeros((0, 0), dtype=np.float32)
        return ItemRegressions(kept, nothing, nothing, settings)
    days = _days_of(log, settings)
    shown = is_candidate[kept]
    # In rows, as they are read: else each shard of users would have all of it copied.
    following = np.ascontiguousarray(_next_basket(days, kept, as_of) * shown)
    together = np.ascontiguousarray(_together(days, kept) * shown)
    return ItemRegressions(kept, following, together, settings)


def _add_product(total: np.ndarray, left: sparse.csr_matrix, right: sparse.csr_matrix) -> None:
    """Add left' right to `total`, some rows at a time: whole, the sparse product is larger than the sum."""
    across = left.T.tocsr()
    for begin in range(0, len(total), BLOCK_ITEMS):
        rows = slice(begin, begin + BLOCK_ITEMS)
        total[rows] += (across[rows] @ right).toarray()


def _factor(gram: np.ndarray, penalty: float) -> np.ndarray:
    """Return the lower Cholesky factor of gram + penalty I (added in place), the penalty raised till there is one.

    Raises:
        numpy.linalg.LinAlgError: no penalty helps, as the sums are no finite numbers.

    """
    diagonal = gram.diagonal().copy()
    for _ in range(MAX_RAISES):
        gram[np.diag_indices(len(gram))] = diagonal + penalty
        factor, failed_at = lapack.dpotrf(gram, lower=1)
        # Not every LAPACK says so of numbers that are not finite.
        if failed_at == 0 and np.isfinite(factor.diagonal()).all():
            return np.asarray(factor)
        log.warning("items too much alike to be told apart at penalty %g: it is raised tenfold", penalty)
        penalty *= 10.0
    raise np.linalg.LinAlgError(f"{len(gram)} items have no Cholesky factor at any penalty up to {penalty:g}")


def _next_basket(days: _Days, kept: np.ndarray, as_of: float) -> np.ndarray:
    gram = np.zeros((len(kept), len(kept)))
    follows = np.zeros_like(gram, order="F")  # as LAPACK wants it, to be solved in place
    for block in days.blocks():
        before = _unit_roots(_before_each_day(block))[:, kept]
        size = np.maximum(np.asarray(block.bought.sum(axis=1)).ravel(), 1.0)
        weighted = (sparse.diags(recency(np.maximum(as_of - block.day, 0.0), HALF_LIFE)) @ before).tocsr()
        _add_product(gram, weighted, before)
        _add_product(follows, weighted, (sparse.diags(size**-0.5) @ block.bought[:, kept]).tocsr())
    factor = _factor(gram, PENALTY)
    del gram  # 200 MB
    return np.asarray(cho_solve((factor, True), follows, overwrite_b=True), dtype=np.float32)


def _together(days: _Days, kept: np.ndarray) -> np.ndarray:
    gram = np.zeros((len(kept), len(kept)))
    for block in days.blocks():
        first, last = block.user[[0, -1]]
        past = _past_of(replace(block, user=block.user - first), int(last - first) + 1)[:, kept]
        _add_product(gram, past, past)
    factor = _factor(gram, TOGETHER_PENALTY)
    del gram  # 200 MB
    inverse, failed_at = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed_at:
        raise np.linalg.LinAlgError(f"the factor of {len(inverse)} items has no inverse: row {failed_at} is 0")
    diagonal = inverse.diagonal().astype(np.float32)
    lower = np.tril(inverse.astype(np.float32), -1)
    return np.asarray(-(lower + lower.T) / diagonal)

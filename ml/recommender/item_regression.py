"""Closed-form models of items by items: what is bought next, and what is in one user's history together.

    next basket:  W = (X' D X + l I)^-1 X' D Y
    together:     W = -P / diag(P), diagonal 0, where P = (U' U + m I)^-1 (EASE; Steck, 2019, equation 8)

Row t of X is what a user did on the days before day t, row t of Y what was bought on it (divided by the root of
the order's size), and D halves with age; buying again is W's diagonal. Row u of U is what user u did up to now.
Rows of X and U are square roots of sums of strengths over the last N_DAYS days with actions, scaled to length 1; a
user's scores are this row x W. Items beyond the MAX_ITEMS that most users acted on are in neither: they score 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, lapack

from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.history import recency, strength_by_code
from ml.recommender.repeat_features import user_days
from ml.recommender.settings import BlendSettings

MAX_ITEMS = 5_000  # each W is then 100 MB and takes seconds
N_DAYS = 24  # of a user's days with actions, those that are read
PENALTY = 6.0
TOGETHER_PENALTY = 1.0
HALF_LIFE = 120.0


@dataclass(frozen=True)
class _Days:
    """Users' days with actions, sorted by both: sparse days x items of strengths and of purchases (0 or 1)."""

    user: np.ndarray
    day: np.ndarray
    strength: sparse.csr_matrix
    bought: sparse.csr_matrix


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
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(n, n)) @ days.strength


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
    return ItemRegressions(
        kept,
        _next_basket(days, kept, as_of) * is_candidate[kept],
        _together(_past_of(days, log.n_users)[:, kept].astype(np.float32)) * is_candidate[kept],
        settings,
    )


def _next_basket(days: _Days, kept: np.ndarray, as_of: float) -> np.ndarray:
    before = _unit_roots(_before_each_day(days).tocsr())[:, kept].astype(np.float32)
    size = np.maximum(np.asarray(days.bought.sum(axis=1)).ravel(), 1.0)
    weight = recency(np.maximum(as_of - days.day, 0.0), HALF_LIFE)
    weighted = (before.T @ sparse.diags(weight.astype(np.float32))).tocsr()
    gram = (weighted @ before).toarray()
    follows = (weighted @ sparse.diags((size**-0.5).astype(np.float32)) @ days.bought[:, kept]).toarray()
    gram[np.diag_indices(len(kept))] += PENALTY
    factor = cho_factor(gram, lower=True, overwrite_a=True)
    return np.asarray(cho_solve(factor, follows.astype(np.float32), overwrite_b=True), dtype=np.float32)


def _together(past: sparse.csr_matrix) -> np.ndarray:
    gram = (past.T @ past).toarray()
    gram[np.diag_indices(len(gram))] += TOGETHER_PENALTY
    factor, _ = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    diagonal = np.diag(inverse).copy()
    lower = np.tril(inverse, -1)
    return np.asarray(-(lower + lower.T) / diagonal, dtype=np.float32)

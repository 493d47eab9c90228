"""What is bought or looked at with, after and before an item.

Steps (sessions, orders) are rows of a sparse matrix S, steps x items. With K, steps x steps, saying how much
a user's step t' counts seen from step t (itself, d^(gap-1) for later ones, less for earlier ones), the
directional counts are C = S' K S: C[i, j] is large where j follows i. Only blocks of its rows, sparse, and the
rows of K that they need ever stand in memory, and each row keeps its strongest neighbours.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import sparse

from ml.recommender.dataset import ActionLog
from ml.recommender.history import recency, strength_by_code
from ml.recommender.settings import BlendSettings

#: Rows of C made at once: at most so many cells if all were full, or this many rows, and from so many actions.
BLOCK_CELLS = 16_000_000
BLOCK_ROWS = 256
BLOCK_ACTIONS = 200_000


def steps_by_items(log: ActionLog, settings: BlendSettings) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return S (each cell the strongest action, divided by step size^p) and each step's user."""
    strength = strength_by_code(settings)[log.event]
    kept = strength > 0
    user, item, strength = log.user[kept], log.item[kept], strength[kept]
    _, step = np.unique(log.step[kept], return_inverse=True)
    n_steps = int(step.max()) + 1 if len(step) else 0
    key = step * log.n_items + item
    order = np.lexsort((-strength, key))
    first = order[np.concatenate(([True], key[order][1:] != key[order][:-1]))] if len(order) else order
    size = np.bincount(step[first], minlength=n_steps).astype(np.float64)
    values = strength[first] * size[step[first]] ** -settings.step_size_power
    matrix = sparse.csr_matrix((values, (step[first], item[first])), shape=(n_steps, log.n_items))
    step_user = np.zeros(n_steps, dtype=np.int64)
    step_user[step] = user
    return matrix, step_user


class StepKernel:
    """K: how much each step of a user counts seen from each other one; its rows are made when asked for."""

    def __init__(self, step_user: np.ndarray, settings: BlendSettings) -> None:
        """Find where each user's steps begin and end.

        Args:
            step_user: the user of each step, a user's steps one after the other.
            settings: how counts fade with the distance.

        """
        n, reach = len(step_user), settings.max_step_gap
        starts = np.flatnonzero(np.diff(step_user, prepend=-1))
        lengths = np.diff(np.append(starts, n))
        here = np.arange(n)
        self.first = np.maximum(np.repeat(starts, lengths), here - reach)
        self.last = np.minimum(np.repeat(starts + lengths, lengths) - 1, here + reach)
        gaps = np.arange(-reach, reach + 1)
        later = settings.step_decay ** np.maximum(np.abs(gaps) - 1.0, 0.0)
        self.by_gap = np.where(gaps < 0, settings.backward * later, later)
        self.by_gap[reach] = settings.same_step
        self.reach = reach

    def rows(self, steps: np.ndarray) -> sparse.csr_matrix:
        """Return the rows of some steps: len(steps) x all steps."""
        width = self.last[steps] - self.first[steps] + 1
        ends = np.cumsum(width)
        column = np.arange(width.sum()) + np.repeat(self.first[steps] - ends + width, width)
        values = self.by_gap[column - np.repeat(steps, width) + self.reach]
        starts = np.concatenate(([0], ends))
        return sparse.csr_matrix((values, column, starts), shape=(len(steps), len(self.first)))


def largest_per_row(rows: sparse.csr_matrix, order_by: np.ndarray, count: int) -> sparse.csr_matrix:
    """Keep the positive cells of each row that are among its `count` largest by `order_by`, and ties with them.

    Args:
        rows: sparse, no cell twice.
        order_by: a value for each stored cell.
        count: how many to keep.

    """
    kept = rows.data > 0
    starts = rows.indptr
    for row in np.flatnonzero(np.diff(starts) > count):
        cells = slice(starts[row], starts[row + 1])
        values = np.where(kept[cells], order_by[cells], -np.inf)
        kept[cells] &= values >= np.partition(values, -count)[-count]
    row = np.repeat(np.arange(rows.shape[0]), np.diff(starts))[kept]
    found = sparse.csr_matrix((rows.data[kept], (row, rows.indices[kept])), shape=rows.shape)
    found.sort_indices()
    return found


def _blocks(actions: np.ndarray) -> list[slice]:
    """Cut items with so many actions each into blocks of rows of C."""
    at_most = max(BLOCK_ROWS, BLOCK_CELLS // max(1, len(actions)))
    before = np.concatenate(([0], np.cumsum(actions)))
    cuts = [0]
    while cuts[-1] < len(actions):
        enough = int(np.searchsorted(before, before[cuts[-1]] + BLOCK_ACTIONS, side="right")) - 1
        cuts.append(min(max(enough, cuts[-1] + 1), cuts[-1] + at_most, len(actions)))
    return [slice(begin, end) for begin, end in pairwise(cuts)]


def count_cooccurrences(
    log: ActionLog, is_candidate: np.ndarray, settings: BlendSettings
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Count what goes with what.

    Returns:
        C (items x items; columns only of candidates; empty diagonal), and each item's support: the sum of
        its cells in S.

    """
    steps, step_user = steps_by_items(log, settings)
    support = np.asarray(steps.sum(axis=0)).ravel()
    whose = steps.T.tocsr()
    targets = steps @ sparse.diags(is_candidate.astype(np.float64))
    neutral = (support + 1.0) ** -0.5  # orders neighbours before any setting of the powers is known
    kernel = StepKernel(step_user, settings)
    blocks = []
    for some in _blocks(np.diff(whose.indptr)):
        seen = whose[some]
        needed, place = np.unique(seen.indices, return_inverse=True)
        seen = sparse.csr_matrix((seen.data, place, seen.indptr), shape=(seen.shape[0], len(needed)))
        block = (seen @ kernel.rows(needed) @ targets).tocsr()
        row = np.repeat(np.arange(some.start, some.stop), np.diff(block.indptr))
        block.data[row == block.indices] = 0.0
        blocks.append(largest_per_row(block, block.data * neutral[block.indices], settings.neighbours))
    return sparse.vstack(blocks, format="csr"), support


def trend(log: ActionLog, as_of: float, settings: BlendSettings) -> np.ndarray:
    """Return how much more than usual each item is acted on lately: about 1 on average, never 0."""
    strength = strength_by_code(settings)[log.event]
    ever = np.bincount(log.item, weights=strength, minlength=log.n_items)
    lately = np.bincount(
        log.item,
        weights=strength * recency(as_of - log.time, settings.trend_half_life),
        minlength=log.n_items,
    )
    # Five more actions at the usual rate: a rare item's trend is hardly known.
    usual = lately.sum() / max(ever.sum(), 1e-12)
    return np.asarray((lately + 5.0 * usual + 1e-9) / ((ever + 5.0) * usual + 1e-9))


def normalise(
    counts: sparse.csr_matrix, support: np.ndarray, trends: np.ndarray, settings: BlendSettings
) -> sparse.csr_matrix:
    """Turn counts into similarities: popularity discounted on both sides, best neighbour about 1."""
    known = np.maximum(support, 1e-9)
    rows = np.where(support > 0, known**-settings.evidence_power, 0.0)
    columns = np.where(support > 0, known**-settings.candidate_power, 0.0) * trends**settings.trend_power
    similar = (sparse.diags(rows) @ counts @ sparse.diags(columns)).tocsr()
    best = similar.max(axis=1).toarray().ravel()
    if best.any():
        similar = similar / best[best > 0].mean()
    similar.sort_indices()
    return similar.tocsr()

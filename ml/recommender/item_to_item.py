"""What is bought or looked at with, after and before an item.

Steps (sessions, orders) are rows of a sparse matrix S, steps x items. With K, steps x steps, saying how much
a user's step t' counts seen from step t (itself, d^(gap-1) for later ones, less for earlier ones), the
directional counts are C = S' K S: C[i, j] is large where j follows i. Only blocks of its rows ever stand in
memory, and each row keeps its strongest neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ml.recommender.dataset import ActionLog
from ml.recommender.history import recency, strength_by_code
from ml.recommender.settings import BlendSettings

BLOCK_CELLS = 16_000_000  # of a dense block of rows: 128 MB


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


def step_kernel(step_user: np.ndarray, settings: BlendSettings) -> sparse.csr_matrix:
    """Return K: how much each step of a user counts seen from each other one."""
    n = len(step_user)
    here = np.arange(n)
    rows, columns, values = [here], [here], [np.full(n, settings.same_step)]
    for gap in range(1, min(settings.max_step_gap, n - 1) + 1):
        earlier = here[: n - gap]
        earlier = earlier[step_user[earlier] == step_user[earlier + gap]]
        weight = np.full(len(earlier), settings.step_decay ** (gap - 1))
        rows += [earlier, earlier + gap]
        columns += [earlier + gap, earlier]
        values += [weight, settings.backward * weight]
    return sparse.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n)
    )


def largest_per_row(block: np.ndarray, order_by: np.ndarray, count: int) -> sparse.csr_matrix:
    """Keep the positive cells of each row that are among its `count` largest by `order_by`."""
    if count < block.shape[1]:
        limit = np.partition(order_by, -count, axis=1)[:, -count]
        block = np.where(order_by >= limit[:, None], block, 0.0)
    return sparse.csr_matrix(np.where(block > 0, block, 0.0))


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
    seen_from = steps.T.tocsr() @ step_kernel(step_user, settings)
    targets = steps @ sparse.diags(is_candidate.astype(np.float64))
    neutral = (support + 1.0) ** -0.5  # orders neighbours before any setting of the powers is known
    block_rows = max(1, BLOCK_CELLS // max(1, log.n_items))
    blocks = []
    for begin in range(0, log.n_items, block_rows):
        block = (seen_from[begin : begin + block_rows] @ targets).toarray()
        rows = np.arange(len(block))
        block[rows, begin + rows] = 0.0
        blocks.append(largest_per_row(block, block * neutral, settings.neighbours))
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

"""Recall, NDCG and coverage of top-k lists, with bootstrap intervals over users."""

from __future__ import annotations

import numpy as np


def hits_at(lists: np.ndarray, target_user: np.ndarray, target_item: np.ndarray, n_items: int) -> np.ndarray:
    """Return users x length: whether each listed item is one of the user's targets.

    Args:
        lists: users x length item positions, best first; -1 is no item.
        target_user: row in `lists` of each target, no target twice.
        target_item: its item position.
        n_items: size of the catalogue.

    """
    targets = np.sort(target_user * n_items + target_item)
    keys = np.arange(len(lists))[:, None] * n_items + lists
    if not len(targets):
        return np.zeros(lists.shape, dtype=bool)
    place = np.minimum(np.searchsorted(targets, keys), len(targets) - 1)
    return np.asarray((targets[place] == keys) & (lists >= 0))


def recall(hits: np.ndarray, n_targets: np.ndarray, k: int) -> np.ndarray:
    """Return each user's recall at k: the share of the user's targets among the first k."""
    return np.asarray(hits[:, :k].sum(axis=1) / n_targets)


def ndcg(hits: np.ndarray, n_targets: np.ndarray, k: int) -> np.ndarray:
    """Return each user's normalised discounted cumulative gain at k (Järvelin and Kekäläinen, 2002)."""
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discount)[np.minimum(n_targets, k) - 1]
    shown = hits[:, :k]
    return np.asarray(shown @ discount[: shown.shape[1]] / best)


def coverage(lists: np.ndarray, k: int, n_candidates: int) -> float:
    """Return the share of the items that may be recommended which stand in at least one user's first k."""
    shown = np.unique(lists[:, :k])
    return float((shown >= 0).sum() / n_candidates)


def bootstrap_mean(values: np.ndarray, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
    """Return the 95% percentile interval of the mean over users (Efron, 1979)."""
    rng = np.random.default_rng(seed)
    # Multinomial counts are resampling with replacement, without materialising resamples x users x values.
    means = np.array(
        [
            values @ rng.multinomial(len(values), np.full(len(values), 1.0 / len(values))) / len(values)
            for _ in range(resamples)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_coverage(
    lists: np.ndarray, k: int, n_candidates: int, seed: int = 0, resamples: int = 200
) -> tuple[float, float]:
    """Return the 95% interval of coverage over users.

    A resample holds fewer different users and so covers less: the interval is moved to the measured value, and
    holds it even where lists are nearly alike, so that most resamples cover exactly the same.
    """
    rng = np.random.default_rng(seed)
    value = coverage(lists, k, n_candidates)
    found = np.array(
        [coverage(lists[rng.integers(0, len(lists), len(lists))], k, n_candidates) for _ in range(resamples)]
    )
    low, high = np.quantile(found - found.mean() + value, [0.025, 0.975])
    return max(0.0, min(float(low), value)), min(1.0, max(float(high), value))

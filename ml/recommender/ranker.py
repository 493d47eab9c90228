"""Order the mixture's first candidates anew by what each source says of them.

LambdaMART (Burges, 2010), started from the mixture's scores: trees are grown only for what the weighted sum
of sources misses, such as that a strong link to the very last item counts for more than several weak ones.
Fitted on purchases that no source has seen; no feature knows the item's or the user's identity.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import lightgbm
import numpy as np
import torch
from scipy import sparse

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.blend import Blend, top_items
from ml.recommender.mixture import Mixture
from ml.recommender.tune import Targets

log = logging.getLogger(__name__)

N_CANDIDATES = 60
#: Latest actions whose links to a candidate are features of their own, and how many enter sums and maxima.
N_LATEST = 3
N_LINKED = 30
FEATURES = (
    "log_share", "log_probability", "score", "rank_share", "rank_probability", "rank",
    "log_support", "log_support_latest", "history_length",
    *(f"{link}_{n}" for n in range(1, N_LATEST + 1) for link in ("item_to_item", "text", "cosine")),
    "item_to_item_max", "item_to_item_sum", "item_to_item_count", "text_max", "text_sum",
)  # fmt: skip
MIN_HITS = 200
TREES = 60
PARAMETERS = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 20,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(frozen=True)
class Candidates:
    """The mixture's best items of each user, best first.

    `items` and `scores` are users x N_CANDIDATES (-1 and -inf past the last); `features` has one more axis.
    """

    items: np.ndarray
    scores: np.ndarray
    features: np.ndarray

    def rows(self, chosen: np.ndarray) -> Candidates:
        """Keep some users."""
        return Candidates(self.items[chosen], self.scores[chosen], self.features[chosen])


def _cells(matrix: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(matrix[rows.ravel(), columns.ravel()], dtype=np.float32).reshape(rows.shape)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return each cell's place in its row, largest first."""
    order = np.argsort(-values, axis=1, kind="stable")
    ranks = np.empty(values.shape, dtype=np.float32)
    np.put_along_axis(ranks, order, np.arange(values.shape[1], dtype=np.float32)[None, :], axis=1)
    return ranks


def _links(blend: Blend, latest: np.ndarray, items: np.ndarray, vectors: np.ndarray) -> list[np.ndarray]:
    """Return the features that tie candidates (users x n) to `latest` (users x actions, newest first, -1 none)."""
    alone: list[np.ndarray] = []
    related, alike = [], []
    for n in range(latest.shape[1]):
        past = np.broadcast_to(latest[:, n : n + 1], items.shape)
        known = past >= 0
        to_item = np.where(known, _cells(blend.item_to_item, np.maximum(past, 0), items), 0.0)
        to_text = np.where(known, _cells(blend.text, np.maximum(past, 0), items), 0.0)
        related.append(to_item)
        alike.append(to_text)
        if n < N_LATEST:
            cosine = np.einsum("ud,und->un", vectors[np.maximum(latest[:, n], 0)], vectors[items])
            alone += [to_item, to_text, np.where(known, cosine, 0.0)]
    alone += [np.zeros(items.shape)] * (3 * N_LATEST - len(alone))
    items_stack, text_stack = np.stack(related), np.stack(alike)
    return [
        *alone, items_stack.max(axis=0), items_stack.sum(axis=0), (items_stack > 0).sum(axis=0),
        text_stack.max(axis=0), text_stack.sum(axis=0),
    ]  # fmt: skip


def find_candidates(mixture: Mixture, users: np.ndarray, weight: float) -> Candidates:
    """Take the mixture's best items of each of `users` (sorted positions) and describe them."""
    with torch.no_grad():
        vectors = mixture.model.eval().item_vectors().numpy()
    support = np.log1p(mixture.blend.items.support)
    all_items, all_scores, all_features = [], [], []
    for shard, shares, probabilities in mixture.parts(users):
        with np.errstate(invalid="ignore"):
            mixed = (1 - weight) * shares + weight * probabilities
        mixed[np.isneginf(shares)] = -np.inf
        items, scores = top_items(mixed, N_CANDIDATES)
        there = np.maximum(items, 0)
        share, probability = (np.take_along_axis(part, there, axis=1) for part in (shares, probabilities))
        begin, end = mixture.starts[shard], mixture.starts[shard + 1]
        width = int(max(1, min(N_LINKED, (end - begin).max())))
        place = end[:, None] - 1 - np.arange(width)
        latest = np.where(place >= begin[:, None], mixture.log.item[np.maximum(place, 0)], -1)
        same = np.ones(items.shape)
        features = [
            share, probability, scores, _ranks(share), _ranks(probability), _ranks(scores), support[there],
            same * np.where(latest[:, :1] >= 0, support[np.maximum(latest[:, :1], 0)], 0.0),
            same * (end - begin)[:, None],
            *_links(mixture.blend, latest, there, vectors),
        ]  # fmt: skip
        all_items.append(items)
        all_scores.append(scores)
        all_features.append(np.stack(features, axis=2).astype(np.float32))
    return Candidates(np.concatenate(all_items), np.concatenate(all_scores), np.concatenate(all_features))


@dataclass(frozen=True)
class Ranker:
    """Trees on top of the mixture's scores."""

    trees: lightgbm.Booster

    def lists(self, candidates: Candidates, length: int) -> np.ndarray:
        """Return users x length item positions, best first; of equal scores the one the mixture put first."""
        n_users, n, n_features = candidates.features.shape
        gain = np.zeros((n_users, n))
        there = candidates.items >= 0
        if there.any():
            gain[there] = self.trees.predict(candidates.features[there].reshape(-1, n_features), num_threads=1)
        scores = np.where(there, candidates.scores + gain, -np.inf)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :length]
        return np.take_along_axis(candidates.items, order, axis=1)


def fit_ranker(candidates: Candidates, targets: Targets, n_items: int, seed: int) -> Ranker | None:
    """Fit on users whose target is among the candidates (row n of the candidates is user n of the targets).

    Returns:
        The ranker, or None where fewer than MIN_HITS users have their target there: the mixture's order stays.

    """
    hits = hits_at(candidates.items, targets.row, targets.item, n_items)
    useful = hits.any(axis=1)
    if useful.sum() < MIN_HITS:
        log.info("%d users to fit a ranker on, fewer than %d: the mixture's order stays", useful.sum(), MIN_HITS)
        return None
    there = candidates.items[useful] >= 0
    data = lightgbm.Dataset(
        candidates.features[useful][there],
        hits[useful][there].astype(np.int32),
        group=there.sum(axis=1),
        init_score=candidates.scores[useful][there],
        feature_name=list(FEATURES),
    )
    return Ranker(lightgbm.train({**PARAMETERS, "seed": seed, "num_threads": 1}, data, TREES))


def cross_fitted_lists(
    candidates: Candidates, targets: Targets, n_items: int, length: int, seed: int
) -> np.ndarray | None:
    """Return lists of all users, each ranked by trees fitted on the other half of the users; None as above."""
    half = np.random.default_rng(seed).permutation(len(targets.users)) % 2
    lists = candidates.items[:, :length].copy()
    for fold in (0, 1):
        rows = np.flatnonzero(half != fold)
        place = np.full(len(targets.users), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        kept = place[targets.row] >= 0
        known = Targets(targets.users[rows], place[targets.row[kept]], targets.item[kept])
        ranker = fit_ranker(candidates.rows(rows), known, n_items, seed)
        if ranker is None:
            return None
        lists[half == fold] = ranker.lists(candidates.rows(np.flatnonzero(half == fold)), length)
    return lists


def choose_ranker(candidates: Candidates, targets: Targets, n_items: int, k: int, seed: int) -> Ranker | None:
    """Return a ranker fitted on all users if cross-fitted ones beat the mixture's order by NDCG@k, else None."""
    lists = cross_fitted_lists(candidates, targets, n_items, k, seed)
    if lists is None:
        return None
    with_it, without = (
        float(ndcg(hits_at(found, targets.row, targets.item, n_items), targets.per_user, k).mean())
        for found in (lists, candidates.items)
    )
    log.info("ranker: NDCG@%d %.4f cross-fitted, %.4f without", k, with_it, without)
    return fit_ranker(candidates, targets, n_items, seed) if with_it > without else None

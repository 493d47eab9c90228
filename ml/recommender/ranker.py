"""Order the candidates by what each source says of them.

LambdaMART (Burges, 2010), started from the mixture's scores: trees are grown only for what the weighted sum
of sources misses, such as that a strong link to the very last item counts for more than several weak ones.
Fitted on purchases that no source has seen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

# Before LightGBM: it needs libgomp, which a bare machine lacks and which torch brings along.
import torch  # noqa: F401  # isort: skip
import lightgbm
import numpy as np

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.candidates import FEATURES, Candidates
from ml.recommender.tune import Targets

log = logging.getLogger(__name__)

MIN_HITS = 200
TREES = 150
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
class Ranker:
    """Trees on top of the mixture's scores."""

    trees: lightgbm.Booster

    def scores(self, candidates: Candidates) -> np.ndarray:
        """Return users x candidates, -inf where there is none."""
        there = candidates.items >= 0
        scores = np.full(there.shape, -np.inf)
        if there.any():
            gain = self.trees.predict(candidates.features[there])
            scores[there] = np.round(candidates.scores[there] + gain, 6)
        return scores

    def to_text(self) -> str:
        """Return the trees as LightGBM writes them."""
        return self.trees.model_to_string()

    @classmethod
    def from_text(cls, text: str) -> Ranker:
        """Read what `to_text` wrote."""
        return cls(lightgbm.Booster(model_str=text))


def ordered(candidates: Candidates, scores: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the best items by `scores`, users x length, and their scores."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :length]
    return np.take_along_axis(candidates.items, order, axis=1), np.take_along_axis(scores, order, axis=1)


def fit_ranker(candidates: Candidates, hits: np.ndarray, seed: int) -> Ranker | None:
    """Fit on the users who chose one of their candidates.

    Args:
        candidates: of users who chose something.
        hits: users x candidates: what each chose.
        seed: of bagging.

    Returns:
        The ranker, or None where fewer than MIN_HITS users chose a candidate: the mixture's order stays.

    """
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


def cross_fitted_scores(
    candidates: Candidates, hits: np.ndarray, user: np.ndarray, seed: int
) -> np.ndarray | None:
    """Return rows x candidates, each row's by trees fitted on the other half of the users; None as above.

    Args:
        candidates: rows may be the same user at several moments.
        hits: rows x candidates: what each chose.
        user: whose each row is: all of a user's rows are in one half.
        seed: of the halves and the trees.

    """
    half = (np.random.default_rng(seed).permutation(int(user.max(initial=0)) + 1) % 2)[user]
    scores = np.full(candidates.items.shape, -np.inf)
    for fold in (0, 1):
        there = np.flatnonzero(half == fold)
        others = np.flatnonzero(half != fold)
        ranker = fit_ranker(candidates.rows(others), hits[others], seed)
        if ranker is None:
            return None
        scores[there] = ranker.scores(candidates.rows(there))
    return scores


def hits_of(candidates: Candidates, targets: Targets, n_items: int) -> np.ndarray:
    """Return users x candidates: what the users chose (row n of the candidates is user n of the targets)."""
    return hits_at(candidates.items, targets.row, targets.item, n_items)


def mean_ndcg(lists: np.ndarray, targets: Targets, n_items: int, k: int) -> float:
    """Return NDCG@k averaged over the targets' users."""
    return float(ndcg(hits_at(lists, targets.row, targets.item, n_items), targets.per_user, k).mean())

"""One list from sources that differ: a log-linear mixture of the blend's shares and the sequence model's.

    score(u, j) = (1 - w) x log share of j in the blend's scores of u + w x log probability of j after u's items

A product of experts (Hinton, 2002): an item stands high where both think it likely, and neither source's
units matter. w is chosen on purchases that both have not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.blend import Blend, top_items
from ml.recommender.dataset import ActionLog
from ml.recommender.history import build_history
from ml.recommender.recommend import shards_of
from ml.recommender.sequence_model import SequenceModel
from ml.recommender.train_sequence_model import user_vectors
from ml.recommender.tune import Targets

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Share of an item that the blend knows nothing about, relative to its best: below any evidence, above nothing.
LEAST_SHARE = 1e-5


def blend_log_shares(scores: np.ndarray) -> np.ndarray:
    """Turn the blend's scores (users x items, -inf where barred) into logs of shares of each user's total."""
    allowed = np.isfinite(scores)
    positive = np.where(allowed, np.maximum(scores, 0.0), 0.0)
    positive += LEAST_SHARE * np.maximum(positive.max(axis=1, keepdims=True), 1e-12)
    total = np.where(allowed, positive, 0.0).sum(axis=1, keepdims=True)
    return np.where(allowed, np.log(positive / np.maximum(total, 1e-300)), -np.inf).astype(np.float32)


@dataclass(frozen=True)
class Mixture:
    """Both sources over the same users: `starts` says where each one's actions begin in the log."""

    blend: Blend
    model: SequenceModel
    log: ActionLog
    starts: np.ndarray
    segment: np.ndarray

    def parts(self, users: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield shards of `users` with both sources' logs, users x items float32; -inf where barred."""
        found, vectors = user_vectors(self.model, self.log.item, self.starts, users)
        per_user = np.diff(self.starts)
        done = 0
        for shard in shards_of(users, per_user, self.log.n_items):
            history = build_history(self.log.of_users(shard), self.blend.items.as_of, self.blend.settings)
            shares = blend_log_shares(self.blend.score(history, self.segment[shard]))
            logits = found[done : done + len(shard)] @ vectors.T
            logits.masked_fill_(torch.from_numpy(np.isneginf(shares)), -torch.inf)
            done += len(shard)
            yield shard, shares, torch.log_softmax(logits, dim=1).numpy()

    def lists(self, users: np.ndarray, weights: tuple[float, ...], length: int) -> list[np.ndarray]:
        """Return, for each weight of the sequence model, users x length item positions, best first."""
        found: list[list[np.ndarray]] = [[] for _ in weights]
        for _, shares, probabilities in self.parts(users):
            barred = np.isneginf(shares)
            for lists, weight in zip(found, weights, strict=True):
                # 0 x -inf is no number: barred items are set anew.
                with np.errstate(invalid="ignore"):
                    scores = (1 - weight) * shares + weight * probabilities
                scores[barred] = -np.inf
                lists.append(top_items(scores, length)[0])
        return [np.concatenate(lists) for lists in found]


def choose_weight(
    mixture: Mixture, targets: Targets, k: int, weights: tuple[float, ...] = WEIGHTS
) -> tuple[float, dict[float, float]]:
    """Return the sequence model's weight with the best NDCG@k on `targets`, and the NDCG of each weight tried.

    Of equal ones the smallest.
    """
    found = {}
    for weight, lists in zip(weights, mixture.lists(targets.users, weights, k), strict=True):
        hits = hits_at(lists, targets.row, targets.item, mixture.log.n_items)
        found[weight] = float(ndcg(hits, targets.per_user, k).mean())
    best = max(weights, key=lambda weight: (found[weight], -weight))
    return best, found

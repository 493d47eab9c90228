"""All sources of one day side by side: the blend's parts and the sequence model, mixed into one score.

    score(u, j) = (1 - w) x log share of j in the blend's scores of u + w x log probability of j after u's actions

A product of experts (Hinton, 2002): an item stands high where both think it likely, and neither source's
units matter. w is chosen on purchases that both have not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.blend import Blend, top_items
from ml.recommender.dataset import ActionLog
from ml.recommender.history import History, build_history
from ml.recommender.item_regression import ItemRegressions, learn_regressions
from ml.recommender.new_items import IS_NEW, look_alikes, newness
from ml.recommender.recommend import shards_of
from ml.recommender.repeat_features import ItemSales, item_sales
from ml.recommender.sequence_model import SequenceModel
from ml.recommender.sequences import sequences_of
from ml.recommender.train_sequence_model import user_vectors
from ml.recommender.tune import Targets

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
# Share of an item that the blend knows nothing about, relative to its best: below any evidence, above nothing.
LEAST_SHARE = 1e-5


def log_shares(scores: np.ndarray) -> np.ndarray:
    """Turn the blend's scores (users x items, -inf where barred) into logs of shares of each user's total."""
    allowed = np.isfinite(scores)
    positive = np.where(allowed, np.maximum(scores, 0.0), 0.0)
    positive += LEAST_SHARE * np.maximum(positive.max(axis=1, keepdims=True), 1e-12)
    total = np.where(allowed, positive, 0.0).sum(axis=1, keepdims=True)
    return np.where(allowed, np.log(positive / np.maximum(total, 1e-300)), -np.inf).astype(np.float32)


@dataclass(frozen=True)
class Scores:
    """What the sources say of every item to some users: users x items float32, -inf where barred.

    `users` are positions among all users; in `log` and `history` they are numbered from 0.
    """

    users: np.ndarray
    log: ActionLog
    history: History
    log_share: np.ndarray
    log_probability: np.ndarray

    def mixed(self, weight: float, items: np.ndarray | None = None) -> np.ndarray:
        """Return the mixture, `weight` being the sequence model's share, of all items.

        Or of `items`, users x n (-1 for none: -inf).
        """
        share, probability = self.log_share, self.log_probability
        if items is not None:
            there = np.maximum(items, 0)
            share = np.where(items >= 0, np.take_along_axis(share, there, axis=1), np.float32(-np.inf))
            probability = np.take_along_axis(probability, there, axis=1)
        if weight == 0.0:
            return share
        # 0 x -inf is no number: barred items are set anew.
        with np.errstate(invalid="ignore"):
            scores = (1.0 - weight) * share + weight * probability
        scores[np.isneginf(share)] = -np.inf
        return scores


class Sources:
    """The sources as of one moment; only actions before it are read."""

    def __init__(
        self, blend: Blend, log: ActionLog, segment: np.ndarray, text: np.ndarray, model: SequenceModel | None
    ) -> None:
        """Gather the sources.

        Args:
            blend: with the moment, `blend.items.as_of`.
            log: all users' actions.
            segment: each user's row in the blend's popularity.
            text: the items' text vectors, of length 1.
            model: the sequence model over the same items, or None for none.

        """
        self.blend = blend
        self.log = log.before(blend.items.as_of)
        self.segment = segment
        self.text = text
        self.model = model
        as_of = blend.items.as_of
        first = np.full(log.n_items, as_of)
        np.minimum.at(first, self.log.item, self.log.time)
        self.item_age = as_of - first  # days since anyone acted on it; 0 for one that nobody knows yet
        first = np.full(log.n_users, as_of)
        np.minimum.at(first, self.log.user, self.log.time)
        self.first_action_age = as_of - first
        if model is None:
            self.vectors = torch.zeros(log.n_items, 1)
        else:
            with torch.no_grad():
                self.vectors = model.eval().item_vectors()

    @cached_property
    def regressions(self) -> ItemRegressions:
        """What is bought next and together, by items: only candidates are described by it, not the mixture."""
        knowledge = self.blend.items
        return learn_regressions(self.log, knowledge.is_candidate, knowledge.as_of, self.blend.settings)

    @cached_property
    def newness(self) -> np.ndarray:
        """How new each item is, 0 to 1."""
        return newness(self.blend.items.support)

    @cached_property
    def new(self) -> np.ndarray:
        """Positions of the new items that may be recommended."""
        return np.flatnonzero((self.newness >= IS_NEW) & self.blend.items.is_candidate)

    @cached_property
    def text_of_new(self) -> sparse.csr_matrix:
        """How alike each item and each of the `new` ones are: items x new."""
        return self.blend.items.text[:, self.new]

    @cached_property
    def look_alikes(self) -> sparse.csr_matrix:
        """Which known items stand in for which items."""
        return look_alikes(self.blend.items.text, self.blend.items.support)

    @cached_property
    def sales(self) -> ItemSales:
        """How items sell lately, and how often they are bought again."""
        return item_sales(self.log, self.blend.items.as_of)

    def scores(self, users: np.ndarray) -> Iterator[Scores]:
        """Yield the scores of `users` (sorted positions) for all items, in shards."""
        per_user = np.bincount(self.log.user, minlength=self.log.n_users)
        for shard in shards_of(users, per_user, self.log.n_items):
            yield self.scores_of(shard, self.log.of_users(shard))

    def scores_of(self, users: np.ndarray, log: ActionLog) -> Scores:
        """Return the scores of a shard of users who did what `log` says (numbered from 0 there)."""
        as_of = self.blend.items.as_of
        history = build_history(log, as_of, self.blend.settings)
        shares = log_shares(self.blend.score(history, self.segment[users]))
        if self.model is None:
            logits = torch.zeros(shares.shape)
        else:
            everyone = np.arange(len(users))
            logits = user_vectors(self.model, self.vectors, sequences_of(log), everyone, as_of) @ self.vectors.T
        logits.masked_fill_(torch.from_numpy(np.isneginf(shares)), -torch.inf)
        return Scores(users, log, history, shares, torch.log_softmax(logits, dim=1).numpy())

    def lists(self, users: np.ndarray, weights: tuple[float, ...], length: int) -> list[np.ndarray]:
        """Return, for each weight of the sequence model, users x length item positions, best first."""
        found: list[list[np.ndarray]] = [[] for _ in weights]
        for scores in self.scores(users):
            for lists, weight in zip(found, weights, strict=True):
                lists.append(top_items(scores.mixed(weight), length)[0])
        return [np.concatenate(lists) for lists in found]


def choose_weight(
    sources: Sources, targets: Targets, k: int, weights: tuple[float, ...] = WEIGHTS
) -> tuple[float, dict[float, float]]:
    """Return the sequence model's weight with the best NDCG@k on `targets`, and the NDCG of each weight tried.

    Of equal ones the smallest.
    """
    found = {}
    for weight, lists in zip(weights, sources.lists(targets.users, weights, k), strict=True):
        hits = hits_at(lists, targets.row, targets.item, sources.log.n_items)
        found[weight] = float(ndcg(hits, targets.per_user, k).mean())
    best = max(weights, key=lambda weight: (found[weight], -weight))
    return best, found

"""What everyone, and the user's segment, acts on most: the start for new users, and what fills every list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.recommender.dataset import ActionLog, Shop
from ml.recommender.history import recency, strength_by_code
from ml.recommender.settings import BlendSettings


@dataclass(frozen=True)
class Popularity:
    """Segments x items, each row's best item 1; the last row is everyone ("all") and nowhere 0."""

    scores: np.ndarray

    @staticmethod
    def of(scores: np.ndarray) -> Popularity:
        """Scale each row by its largest value, and lift everyone's row a little above 0."""
        scores = scores.astype(np.float64)
        top = scores.max(axis=1, keepdims=True)
        scaled = np.divide(scores, top, out=np.zeros_like(scores), where=top > 0)
        scaled[-1] = (scaled[-1] + 1e-3) / (1.0 + 1e-3)
        return Popularity(scaled)

    @property
    def everyone(self) -> np.ndarray:
        """Popularity among everyone, one value an item."""
        return np.asarray(self.scores[-1])

    def parts(self, segment: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Return what the users' own segments and what everyone gives each item, both users x items."""
        own = share * self.scores[segment]
        return own, np.broadcast_to((1.0 - share) * self.everyone, own.shape)


def published_popularity(shop: Shop) -> Popularity:
    """Take popularity from the features: it counts anonymous visitors too."""
    scores = shop.segment_scores.copy()
    scores[-1] = shop.catalogue.popularity
    return Popularity.of(scores)


def measured_popularity(log: ActionLog, as_of: float, settings: BlendSettings) -> Popularity:
    """Count popularity from the actions before `as_of` alone, for everyone: for trials on past days.

    A past day's segments are not known, and today's would tell what was bought since.
    """
    weights = strength_by_code(settings)[log.event] * recency(as_of - log.time, settings.trend_half_life)
    return Popularity.of(np.bincount(log.item, weights=weights, minlength=log.n_items)[None, :])

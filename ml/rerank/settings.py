"""What the re-rank can be told. The defaults were chosen on validation data only: see docs/experiments.md."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

#: Candidates of a user that a list is made from.
POOL_LENGTH = 60
METHODS = ("dpp", "mmr")


@dataclass(frozen=True)
class RerankSettings:
    """Every dial of the re-rank; `variety` 0 and no cap, share or slot leave the order by score."""

    # dpp: greedy MAP of a determinantal point process (Chen, Zhang, Zhou, 2018); mmr: maximal marginal relevance
    # (Carbonell, Goldstein, 1998).
    method: str = "dpp"
    # 0: by score alone; towards 1: by variety alone. It grows evenly from 0 at the first place to all of it at
    # `varied_from` and after: a hit counts most at the top, where all variety would cost most.
    variety: float = 0.42
    varied_from: int = 10

    # What makes two items alike: a weighted mean of 1 for the same category, brand, price band, and the cosine of
    # their texts. Where a catalogue lacks an attribute, the others' weights stand for it.
    text_weight: float = 0.8
    category_weight: float = 0.1
    brand_weight: float = 0.05
    price_band_weight: float = 0.05

    # At most this share of a list is of one brand or one category (its first level), where the pool allows.
    brand_cap: float = 0.5
    category_cap: float = 0.8
    # At least this share of a list is outside the head (ml.metrics.beyond_accuracy.is_tail); 0: as it comes.
    tail_share: float = 0.0

    # Places drawn at random from candidates beyond the list, the first of them here; 0 for none.
    exploration_slots: int = 1
    exploration_place: int = 18
    # Shown so often in 14 days without an answer, an item makes way for others.
    seen_too_often: int = 8

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            ValueError: a setting is out of its range.

        """
        shares = ("variety", "brand_cap", "category_cap", "tail_share")
        wrong = [name for name in shares if not 0.0 <= getattr(self, name) <= 1.0]
        wrong += [name for name in ("exploration_slots", "seen_too_often") if getattr(self, name) < 0]
        weights = (self.text_weight, self.category_weight, self.brand_weight, self.price_band_weight)
        wrong += ["method"] if self.method not in METHODS else []
        wrong += ["the weights"] if min(weights) < 0 or not sum(weights) else []
        wrong += [name for name in ("exploration_place", "varied_from") if getattr(self, name) < 1]
        if self.variety == 1.0:
            wrong.append("variety (1 would forget the scores)")
        if wrong:
            raise ValueError(f"the re-rank's {', '.join(wrong)} cannot be so: {self}")

    def varieties(self, length: int) -> np.ndarray:
        """Return how much variety counts at each of a list's places."""
        reached = np.arange(length) / (self.varied_from - 1) if self.varied_from > 1 else np.ones(length)
        return self.variety * np.minimum(reached, 1.0)

    @property
    def version(self) -> str:
        """Name of these rules: other settings, another name."""
        told = json.dumps(asdict(self), sort_keys=True)
        return f"rerank-{hashlib.sha256(told.encode()).hexdigest()[:10]}"

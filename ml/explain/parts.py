"""The additive parts of a score, by what they are of.

blend     the sums of its sources add up to the score
learned   the mixture's two terms, the trees' contributions (SHAP; Lundberg et al., 2020) summed over groups of
          features, the trees' base, and the lift of new items add up to the score's logarithm
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.recommender.blend import POPULAR, SOURCES, Evidence
from ml.recommender.candidates import FEATURES, NEWNESS
from ml.recommender.learned import LearnedModel, Listed
from ml.recommender.repeat_features import FEATURES as REPEAT_FEATURES

SCORE, LOG_SCORE = "score", "log_score"
BASE, BLEND, SEQUENCE, MIXTURE, NEW_ITEM = "base", "blend", "sequence_model", "mixture", "new_item"
ITEM_TO_ITEM, TEXT, BUY_AGAIN, POPULARITY, ACTIVITY = (
    "item_to_item", "text", "buy_again", "popularity", "activity",
)  # fmt: skip
#: Parts of a learned recommender's score: blend and sequence_model hold their terms of the mixture too.
LEARNED_PARTS = (
    BASE, BLEND, SEQUENCE, MIXTURE, ITEM_TO_ITEM, TEXT, BUY_AGAIN, POPULARITY, ACTIVITY, NEW_ITEM,
)  # fmt: skip
_OF_THE_USER = (
    "log_support_latest", "history_length", "steps", "days_since_last", "repeat_share",
    "n_orders", "order_size", "last_order_size", "order_gap", "last_order_gap",
)  # fmt: skip
_OF_THE_ITEM = ("log_support", "trend", "item_age", "sold_14", "sold_28", "rise_14", "rise_28", "days_unsold")
_OF_THE_PAIR = ("repeat_rate", "times_bought", "days_since_bought", "due", "last_step_has_it", "interest")


@dataclass(frozen=True)
class Parts:
    """`values` is users x list length x `names`: they add up to the score or its logarithm, as `scale` says."""

    names: tuple[str, ...]
    values: np.ndarray
    scale: str


def group_of(feature: str) -> str:
    """Return the part that a feature of the trees belongs to."""
    plain = feature.removeprefix("rank_").removeprefix("share_")
    if feature in _OF_THE_USER:
        return ACTIVITY
    if feature in _OF_THE_ITEM:
        return POPULARITY
    if feature in _OF_THE_PAIR or feature == "buy_again" or feature in REPEAT_FEATURES:
        return BUY_AGAIN
    if feature == "newness":
        return NEW_ITEM
    if feature in ("log_share", "rank_share"):
        return BLEND
    if plain in ("score", "rank"):
        return MIXTURE
    if plain == "log_probability" or plain == "probability" or plain.startswith("sequence"):
        return SEQUENCE
    if plain.startswith(("text", "look_alike")):
        return TEXT
    if plain.startswith(("item_to_item", "after", "next_basket", "together")):
        return ITEM_TO_ITEM
    raise KeyError(f"the feature {feature} belongs to no part")


GROUPS = np.array([LEARNED_PARTS.index(group_of(feature)) for feature in FEATURES])


def blend_parts(evidence: Evidence) -> Parts:
    """Return the blend's sources as parts of the score (which is rounded to 6 decimals)."""
    return Parts(SOURCES[: POPULAR + 1], evidence.by_source[:, :, : POPULAR + 1], SCORE)


def learned_parts(model: LearnedModel, listed: Listed) -> Parts:
    """Return the parts of the logarithm of a learned recommender's scores, as sums over groups of features.

    Costs a walk through all trees for each listed item: about 0.3 ms.
    """
    there = listed.items >= 0
    place = np.argmax(listed.candidates.items[:, None, :] == listed.items[:, :, None], axis=2)
    rows, _ = np.nonzero(there)
    features = listed.candidates.features[rows, place[there]]
    values = np.zeros((len(features), len(LEARNED_PARTS)))
    if model.ranker is not None and len(features):
        shares = np.asarray(model.ranker.trees.predict(features, pred_contrib=True))
        for part in range(len(LEARNED_PARTS)):
            values[:, part] = shares[:, :-1][:, part == GROUPS].sum(axis=1)
        values[:, LEARNED_PARTS.index(BASE)] += shares[:, -1]
    items = listed.items[there]
    share, probability = (part[rows, items] for part in (listed.sources.log_share, listed.sources.log_probability))
    values[:, LEARNED_PARTS.index(BLEND)] += (1.0 - model.weight) * share
    if model.weight:
        values[:, LEARNED_PARTS.index(SEQUENCE)] += model.weight * probability
    values[:, LEARNED_PARTS.index(NEW_ITEM)] += model.new_item_lift * features[:, NEWNESS]
    found = np.zeros((*there.shape, len(LEARNED_PARTS)))
    found[there] = values
    return Parts(LEARNED_PARTS, found, LOG_SCORE)


def lift_falls(model: LearnedModel, listed: Listed) -> np.ndarray:
    """Return what exp(score) loses without the lift of new items: users x list length, 0 where there is none."""
    there = listed.items >= 0
    place = np.argmax(listed.candidates.items[:, None, :] == listed.items[:, :, None], axis=2)
    newness = np.take_along_axis(listed.candidates.features[:, :, NEWNESS], place, axis=1)
    scores = np.where(there, listed.scores, 0.0)
    return np.where(there, scores * (1.0 - np.exp(-model.new_item_lift * newness)), 0.0)

"""How people choose: nested logit, first a category, then an item in it (McFadden 1978; Train 2009, ch. 4).

Choosing by utility plus Gumbel noise is exactly logit, and taking the k best of the noisy utilities is logit
without replacement; so the true probabilities that `truth.py` computes are those the shop was drawn with.
"""

from __future__ import annotations

import numpy as np

from feeds.simulated.catalogue import Catalogue
from feeds.simulated.days import season
from feeds.simulated.people import Shard
from feeds.simulated.words import vocabulary

TASTE_WEIGHT = 4.0
APPEAL_WEIGHT = 0.7
QUALITY_WEIGHT = 0.4
LANGUAGE_WEIGHT = 0.5
PRICE_WEIGHT = 0.9
#: What is added to a companion's utility (a case for the phone just bought) when it is of the same brand, and
#: for each style it shares.
SAME_BRAND, SAME_STYLE = 1.2, 0.8


def taste_match(shard: Shard, users: np.ndarray, catalogue: Catalogue, items: np.ndarray) -> np.ndarray:
    """Return the cosine of tastes and items, [users x items].

    Summed one dimension at a time and not by BLAS: the same bits on every machine, whatever its threads.
    """
    taste, vector = shard.taste[users], catalogue.vector[items]
    match = np.zeros((len(users), len(items)))
    for dimension in range(taste.shape[1]):
        match += taste[:, dimension, None] * vector[None, :, dimension]
    return match


def item_utility(shard: Shard, users: np.ndarray, catalogue: Catalogue, items: np.ndarray, day: int) -> np.ndarray:
    """Return what each item of a category is worth to each user on `day`, [users x items]."""
    price = catalogue.today(day).price[items]
    dearness = np.log(price / catalogue.leaf_median[items])
    common = APPEAL_WEIGHT * catalogue.appeal[items] + QUALITY_WEIGHT * catalogue.quality[items]
    same_language = shard.language[users][:, None] == catalogue.language[items][None, :]
    return (
        TASTE_WEIGHT * taste_match(shard, users, catalogue, items)
        + common[None, :]
        + LANGUAGE_WEIGHT * same_language
        - PRICE_WEIGHT * shard.price_sensitivity[users][:, None] * dearness[None, :]
    )


def companion_bonus(catalogue: Catalogue, bought: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return what having bought one item adds to the worth of companions, [bought x items]."""
    bonus = SAME_BRAND * (catalogue.brand[bought][:, None] == catalogue.brand[items][None, :])
    for style in range(2):
        bonus = bonus + SAME_STYLE * (
            catalogue.style[bought, style][:, None] == catalogue.style[items, style][None, :]
        )
    return bonus


def leaf_utility(shard: Shard, users: np.ndarray, catalogue: Catalogue, day: int) -> np.ndarray:
    """Return what each category is worth to each user on `day`, [users x leaves]; -inf where nothing is left."""
    leaves = vocabulary().leaves
    peak = np.array([leaf.peak_month for leaf in leaves])
    strength = np.array([leaf.season for leaf in leaves])
    empty = np.array([len(items) == 0 for items in catalogue.today(day).by_leaf])
    return np.where(empty, -np.inf, shard.leaf_preference[users] + season(day, peak, strength)[None, :])


def probabilities(utility: np.ndarray) -> np.ndarray:
    """Return the logit probabilities of each row."""
    weights = np.exp(utility - utility.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def best_by_chance(rng: np.random.Generator, utility: np.ndarray, k: int) -> np.ndarray:
    """Draw k different columns for each row by logit, in the order chosen, [rows x min(k, columns)]."""
    noisy = utility + rng.gumbel(size=utility.shape)
    return np.argsort(-noisy, axis=1, kind="stable")[:, :k]

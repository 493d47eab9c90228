"""The already-bought rule: whether what was bought may be offered again, and how likely it is wanted again.

Measured on the shop itself: in a grocer's data a third of all lines are repeats, in a furniture shop's none.
"""

from __future__ import annotations

import numpy as np

from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.settings import BlendSettings


def repeat_share(log: ActionLog, as_of: float, window: float) -> float:
    """Return the share of purchase lines of the last `window` days that are repeats.

    A line is a repeat where the user had bought the item on an earlier day.
    """
    bought = log.event == PURCHASE
    user, item, day = log.user[bought], log.item[bought], np.floor(log.time[bought])
    key = user * log.n_items + item
    if not len(key):
        return 0.0
    pairs, place = np.unique(key, return_inverse=True)
    first_day = np.full(len(pairs), np.inf)
    np.minimum.at(first_day, place, day)
    recent = log.time[bought] >= as_of - window
    return float((day[recent] > first_day[place[recent]]).mean()) if recent.any() else 0.0


def repeat_rate(log: ActionLog, settings: BlendSettings) -> np.ndarray:
    """Return each item's chance that a buyer buys it on a second day, shrunk towards the shop's average."""
    bought = log.event == PURCHASE
    days = np.unique(
        np.stack([log.user[bought], log.item[bought], np.floor(log.time[bought]).astype(np.int64)]), axis=1
    )
    pairs, count = np.unique(days[0] * log.n_items + days[1], return_counts=True)
    item = pairs % log.n_items
    buyers = np.bincount(item, minlength=log.n_items).astype(np.float64)
    again = np.bincount(item[count > 1], minlength=log.n_items).astype(np.float64)
    average = again.sum() / max(buyers.sum(), 1.0)
    prior = settings.repeat_prior_buyers
    return np.asarray((again + prior * average) / (buyers + prior))

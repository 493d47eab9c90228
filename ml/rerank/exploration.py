"""Places shown to learn rather than by score: drawn at random, with the chance of the draw kept.

The draw is told by the user and the day of the user's last action, not by the run's: a day without events shows
the user the same list again, and a day made anew comes out the same. Chances are what estimates of other policies
need (inverse propensity scoring; Bottou et al., 2013).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def uniform_draws(user_ids: Iterable[str], last_days: Iterable[int], told: str) -> np.ndarray:
    """Return a number in [0, 1) for each user, the same for the same user, last day and `told`.

    Args:
        user_ids: of the users.
        last_days: day number of each one's last action (any number for who never acted).
        told: what the draw is for: another surface or place, another number.

    """
    names = (f"{user}|{day}|{told}" for user, day in zip(user_ids, last_days, strict=True))
    return np.array([int.from_bytes(hashlib.sha256(n.encode()).digest()[:6], "big") / 2.0**48 for n in names])


def draw(eligible: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw one of the eligible candidates of each user, all with the same chance.

    Args:
        eligible: users x candidates.
        uniform: a number in [0, 1) for each user.

    Returns:
        The column drawn, -1 where nothing is eligible; and how many were: the propensity is one over it.

    """
    count = eligible.sum(axis=1)
    number = np.minimum(np.floor(uniform * count), count - 1)
    column = (np.cumsum(eligible, axis=1) == (number + 1)[:, None]).argmax(axis=1)
    return np.where(count > 0, column, -1), count

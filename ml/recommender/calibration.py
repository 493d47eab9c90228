"""From scores to chances: a logistic model with a prior, so that few purchases give a smooth base rate.

The features are the place in the list, the score, and how active the user is. The first two may only raise
the chance of better places, so within a user the chance never grows down the list. Silence counts twice, by its
logarithm and by its days: a logarithm alone flattens out and believes in users who left months ago.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ml.recommender.dataset import PURCHASE, ActionLog

# Prior means and widths: intercept (a purchase in a thousand), -log(rank), log(score), then user_activity.
PRIOR_MEAN = np.array([-7.0, 0.5, 0.0, 0.0, 0.0, 0.0])
PRIOR_WIDTH = np.array([3.0, 0.5, 0.5, 0.5, 0.5, 0.5])
NEVER_NEGATIVE = (1, 2)
LIMITS = (1e-6, 1.0 - 1e-6)
HALF_LIFE = 45.0  # days after which an order says half as much of the next one
NEVER_SEEN = 90.0  # days of silence that somebody without any action is taken for: no past week tells of them


def user_activity(log: ActionLog, as_of: float) -> np.ndarray:
    """Return users x 3: minus log1p of days since the last action, minus months since, log1p of fading orders.

    Args:
        log: actions; those from `as_of` on are not looked at.
        as_of: time in days.

    """
    log = log.before(as_of)
    silence = np.full(log.n_users, np.inf)
    np.minimum.at(silence, log.user, as_of - log.time)
    silence[np.isinf(silence)] = NEVER_SEEN
    is_bought = log.event == PURCHASE
    orders, first = np.unique(np.stack([log.user[is_bought], log.step[is_bought]]), axis=1, return_index=True)
    worth = 0.5 ** ((as_of - log.time[is_bought][first]) / HALF_LIFE)
    fading = np.bincount(orders[0], worth, minlength=log.n_users)
    return np.stack([-np.log1p(silence), -silence / 30.0, np.log1p(fading)], axis=1)


def calibration_features(scores: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Return users x length x 6 features of lists with `scores` (users x length) and users' `activity`."""
    length = scores.shape[1]
    known = np.where(np.isfinite(scores), np.maximum(scores, 1e-6), 1e-6)
    features = np.ones((*scores.shape, len(PRIOR_MEAN)))
    features[:, :, 1] = -np.log(np.arange(1, length + 1))
    features[:, :, 2] = np.log(known)
    features[:, :, 3:] = activity[:, None, :]
    return features


@dataclass(frozen=True)
class Calibration:
    """The chance that a listed item is bought within 7 days."""

    coefficients: np.ndarray
    listed: int
    bought: int

    def probability(self, scores: np.ndarray, activity: np.ndarray) -> np.ndarray:
        """Return users x length chances, never growing along a list, strictly between 0 and 1."""
        chance = _sigmoid(calibration_features(scores, activity) @ self.coefficients)
        return np.clip(np.round(chance, 6), *LIMITS)


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0))))


def fit_calibration(scores: np.ndarray, hits: np.ndarray, activity: np.ndarray) -> Calibration:
    """Fit on lists made for a past day, users x length, and what of them was bought in the 7 days after.

    The maximum a posteriori estimate; the prior alone decides where there is nothing to learn from.
    """
    there = np.isfinite(scores)
    features, bought = calibration_features(scores, activity)[there], hits[there].astype(np.float64)

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        chance = _sigmoid(features @ coefficients)
        off = (coefficients - PRIOR_MEAN) / PRIOR_WIDTH
        likelihood = bought @ np.log(chance + 1e-12) + (1 - bought) @ np.log(1 - chance + 1e-12)
        return float(-likelihood + 0.5 * off @ off), features.T @ (chance - bought) + off / PRIOR_WIDTH

    bounds = [(0.0, None) if i in NEVER_NEGATIVE else (None, None) for i in range(len(PRIOR_MEAN))]
    found = minimize(loss, PRIOR_MEAN, jac=True, method="L-BFGS-B", bounds=bounds)
    # Rounded: the last bits of an optimiser's answer say nothing.
    return Calibration(np.round(found.x, 6), int(there.sum()), int(bought.sum()))

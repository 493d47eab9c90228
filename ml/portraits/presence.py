"""Whether a user still comes: the chance of being alive under the Pareto/NBD.

Schmittlein, Morrison and Colombo, "Counting your customers: who are they and what will they do next?" (1987): a
user comes at a rate of his own, which is gamma distributed over users, until he leaves for good, at a rate m.
With x visits after the first, the last of them t days and today T days after the first, and a rate l, the data's
likelihood is

    l^x / (l + m) x (m exp(-(l + m) t) + l exp(-(l + m) T)),    of which    l^x exp(-(l + m) T)

is that he is still there. Both are summed over a grid of rates: with one rate a user, the mean of his own, the
chance of those who came rarely would come out far too low. One leaving rate serves the whole shop. Gamma and
leaving rate are those of highest likelihood on at most MOST_FITTED users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp

MOST_FITTED = 3000
_RATES = np.geomspace(1e-3, 3.0, 40)  # visit days a day
_LOG_RATES = np.log(_RATES)
_START = (0.8, 6.0, 1 / 150)  # shape, rate of the gamma, leaving rate
_BLOCK = 50_000  # users looked at together
LONGEST = 3650.0  # days


@dataclass(frozen=True)
class Presence:
    """By user: visits after the first, days from first to last, days of silence since (nan: never seen)."""

    later: np.ndarray
    span: np.ndarray
    silence: np.ndarray
    shape: float
    per_day: float
    leaving: float

    @property
    def alive(self) -> np.ndarray:
        """The chance that the user still comes, nan for who was never seen."""
        return self._alive(self.silence)

    def _alive(self, silence: np.ndarray) -> np.ndarray:
        chance = np.full(len(self.later), np.nan)
        seen = np.flatnonzero(np.isfinite(self.silence))
        for at in range(0, len(seen), _BLOCK):
            rows = seen[at : at + _BLOCK]
            either, there = _likelihoods(
                self.later[rows], self.span[rows], silence[rows], self.shape, self.per_day, self.leaving
            )
            chance[rows] = np.exp(there - either)
        return chance

    def days_until(self, chance: float) -> np.ndarray:
        """Return after how many days of silence the chance is down to `chance`; LONGEST at the most."""
        low, high = np.zeros(len(self.later)), np.full(len(self.later), LONGEST)
        for _ in range(20):
            middle = (low + high) / 2
            above = self._alive(middle) > chance
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.where(np.isfinite(self.silence), high, np.nan)


def _likelihoods(
    later: np.ndarray, span: np.ndarray, silence: np.ndarray, shape: float, per_day: float, leaving: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the likelihood, and of its part in which the user is still there."""
    total = _RATES + leaving
    # Gamma density in the logarithm of the rate: the grid's steps are equal there.
    prior = shape * np.log(per_day) - gammaln(shape) + shape * _LOG_RATES - per_day * _RATES
    common = prior + later[:, None] * _LOG_RATES
    there = common - (span + silence)[:, None] * total
    left = (
        common
        + np.log(leaving / total)
        - span[:, None] * total
        + np.log(-np.expm1(-silence[:, None] * total - 1e-12))
    )
    alive = logsumexp(there, axis=1)
    return np.logaddexp(alive, logsumexp(left, axis=1)), alive


def fit_presence(first: np.ndarray, last: np.ndarray, active_days: np.ndarray, end: float) -> Presence:
    """Fit on each user's first and last active day, the number of active days, and the end of the as-of day.

    Who was never seen has nan in `first` and `last`.
    """
    seen = np.isfinite(first) & (active_days > 0)
    span = np.where(seen, last - first, 0.0)
    later = np.where(seen, np.maximum(active_days - 1, 0), 0.0)
    silence = np.where(seen, np.maximum(end - 1.0 - np.floor(last), 0.0), np.nan)
    rows = np.flatnonzero(seen)
    if len(rows) < 10:
        return Presence(later, span, silence, *_START)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_FITTED).astype(int))]

    def cost(logs: np.ndarray) -> float:
        shape, per_day, leaving = np.exp(np.clip(logs, -9.0, 6.0)).tolist()
        return -float(_likelihoods(later[rows], span[rows], silence[rows], shape, per_day, leaving)[0].sum())

    best = minimize(
        cost, np.log(_START), method="Nelder-Mead", options={"maxiter": 200, "xatol": 1e-3, "fatol": 1e-2}
    )
    return Presence(later, span, silence, *np.exp(np.clip(best.x, -9.0, 6.0)).tolist())

"""Empirical Bayes: how far to draw what few observations say towards what everyone's say.

Each function returns how many observations everyone's opinion is worth (the prior's size), estimated from how
much users differ from one another beyond what chance alone makes of them (Efron and Morris, 1975). Where they do
not differ, that number is large, and nobody is told apart.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

LEAST, MOST = 1.0, 5000.0
_GRID = np.geomspace(LEAST, MOST, 60)


def drawn(total: np.ndarray, n: np.ndarray, mean: float, size: float) -> np.ndarray:
    """Return the posterior mean of `n` observations that add up to `total`."""
    return (total + size * mean) / (n + size)


def size_of_shares(counts: np.ndarray, shares: np.ndarray) -> float:
    """Return the size of a Dirichlet prior around `shares`, by maximum likelihood on a grid.

    The Dirichlet-multinomial likelihood (Minka, 2000) of `counts` (users x kinds). Two kinds: the beta-binomial.
    """
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return MOST
    n = counts.sum(axis=1)
    kinds = np.flatnonzero(shares > 0)
    fits = [
        float(
            len(n) * gammaln(size)
            - gammaln(n + size).sum()
            + sum((gammaln(counts[:, k] + size * shares[k]) - gammaln(size * shares[k])).sum() for k in kinds)
        )
        for size in _GRID
    ]
    return float(_GRID[int(np.argmax(fits))])


def size_of_means(mean: np.ndarray, n: np.ndarray, within: float) -> float:
    """Return the size of a normal prior: variance within users over variance between them.

    The latter by moments, users weighing as their observations (DerSimonian and Laird, 1986).

    Args:
        mean: each user's mean.
        n: observations behind it, at least 1.
        within: variance of one observation around its user's mean.

    """
    if len(mean) < 2 or within <= 0:
        return MOST
    overall = float(mean @ n / n.sum())
    excess = float(n @ (mean - overall) ** 2) / within - (len(mean) - 1)
    between = within * excess / float(n.sum() - (n**2).sum() / n.sum()) if n.sum() > n.max() else 0.0
    return float(np.clip(within / between, LEAST, MOST)) if between > 0 else MOST


def gamma_of_rates(events: np.ndarray, days: np.ndarray) -> tuple[float, float]:
    """Return (shape, rate) of the gamma distribution of the users' daily rates, by maximum likelihood.

    Events are Poisson given the rate, so their number is negative binomial (Greenwood and Yule, 1920). Rows
    without a day count for nothing. (1, 30) where fewer than 10 rows are left: about one event a month.
    """
    there = days > 0
    x, t = events[there], days[there]
    if len(x) < 10 or not x.sum():
        return 1.0, 30.0
    best = (-np.inf, 1.0, 30.0)
    overall = float(x.sum() / t.sum())
    for shape in np.geomspace(0.1, 20.0, 30):
        of_shape = float(gammaln(x + shape).sum()) - len(x) * float(gammaln(shape))
        for rate in shape / overall * np.geomspace(0.3, 3.0, 25):
            fit = of_shape - float((shape + x) @ np.log(rate + t)) + len(x) * shape * float(np.log(rate))
            if fit > best[0]:
                best = (fit, float(shape), float(rate))
    return best[1], best[2]

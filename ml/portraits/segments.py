"""Taste segments: users who buy alike, found by k-means, with ids that last from day to day.

A user is a point: square roots of the category shares (so that distance is Hellinger's, which suits shares), and
price level, rhythm, novelty and bargains as standard scores, each counting LEANING_WEIGHT. The number of
segments is the one of K with the best silhouette (Rousseeuw, 1987). Where an earlier day has segments, k-means
goes on from their centroids in their own coordinates: with unchanged users it stops where it starts, and nobody
moves. Only if starting afresh separates users better by MARGIN do new centroids take over; they get the ids of
the old ones that they lie next to (Kuhn's assignment, 1955).

`outputs/as_of_date=<day>/taste_segment_centroids.json` is what the next day starts from. Only earlier days are
read.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from expectations.tables import outputs_dir
from qianmian.step import write_atomically

log = logging.getLogger(__name__)

NEWCOMERS, EVERYONE = "newcomers", "everyone"
ENOUGH_TO_FORM, ENOUGH_TO_JOIN = 10.0, 3.0  # views' worth of actions
K = range(4, 11)
LEAST_USERS = 50  # to look for segments at all
MOST_USERS, MOST_CATEGORIES = 5000, 30  # looked at to choose k and to compare; categories with a coordinate
LEANING_WEIGHT, MOST_SCORES = 0.15, 2.0
MARGIN = 0.05
_FILE = "taste_segment_centroids.json"


@dataclass(frozen=True)
class Centroids:
    """Segments as points. `means` and `spreads` are of the leanings when the coordinates were laid."""

    categories: list[str]
    leanings: list[str]
    means: list[float]
    spreads: list[float]
    ids: list[str]
    points: list[list[float]]
    next_number: int

    def coordinates(self, shares: dict[str, np.ndarray], leanings: dict[str, np.ndarray]) -> np.ndarray:
        """Return users x dimensions; a leaning that is not known lies at the mean."""
        n = len(next(iter(leanings.values())))
        parts = [np.sqrt(shares.get(name, np.zeros(n))) for name in self.categories]
        for name, mean, spread in zip(self.leanings, self.means, self.spreads, strict=True):
            score = np.clip((np.nan_to_num(leanings[name], nan=mean) - mean) / spread, -MOST_SCORES, MOST_SCORES)
            parts.append(LEANING_WEIGHT * score)
        return np.stack(parts, axis=1)


@dataclass(frozen=True)
class Segments:
    """The segment of each user by position in `ids` (newcomers last), and how they were found."""

    ids: np.ndarray
    of_user: np.ndarray
    is_former: np.ndarray
    centroids: Centroids | None
    report: dict[str, Any]


def earlier_centroids(lake: Path, as_of: str) -> Centroids | None:
    """Return the centroids of the latest day before `as_of` that has some."""
    days = sorted(
        path.parent.name.removeprefix("as_of_date=") for path in outputs_dir(lake, "*").parent.glob(f"*/{_FILE}")
    )
    earlier = [day for day in days if day < as_of]
    if not earlier:
        return None
    return Centroids(**json.loads((outputs_dir(lake, earlier[-1]) / _FILE).read_text()))


def write_centroids(lake: Path, as_of: str, centroids: Centroids | None) -> None:
    """Leave the day's centroids for the days after; none where no segments were found."""
    path = outputs_dir(lake, as_of) / _FILE
    if centroids is None:
        path.unlink(missing_ok=True)
    else:
        write_atomically(path, json.dumps(asdict(centroids), ensure_ascii=False, indent=1))


def find_segments(
    shares: dict[str, np.ndarray],
    leanings: dict[str, np.ndarray],
    evidence: np.ndarray,
    earlier: Centroids | None,
) -> Segments:
    """Find the day's segments.

    Args:
        shares: by category, each user's share.
        leanings: by name, a number a user, nan where not known.
        evidence: each user's evidence as of the last action, in views' worth.
        earlier: centroids of an earlier day.

    """
    forms, joins = evidence >= ENOUGH_TO_FORM, evidence >= ENOUGH_TO_JOIN
    report: dict[str, Any] = {"users_that_form": int(forms.sum()), "users_that_join": int((joins & ~forms).sum())}
    if forms.sum() < LEAST_USERS:
        ids = np.array([EVERYONE, NEWCOMERS], dtype=object)
        return Segments(ids, np.where(joins, 0, 1), forms, None, {**report, "segments": 1, "why": "too few users"})
    with threadpool_limits(limits=1):  # one order of sums: the same bits in every run
        centroids, found = _fit(shares, leanings, forms, earlier)
    nearest = _nearest(centroids.coordinates(shares, leanings), np.array(centroids.points))
    ids = np.array([*centroids.ids, NEWCOMERS], dtype=object)
    return Segments(ids, np.where(joins, nearest, len(ids) - 1), forms, centroids, {**report, **found})


def _fit(
    shares: dict[str, np.ndarray], leanings: dict[str, np.ndarray], forms: np.ndarray, earlier: Centroids | None
) -> tuple[Centroids, dict[str, Any]]:
    laid = _lay_out(shares, leanings, forms)
    fresh_x = laid.coordinates(shares, leanings)[forms]
    sample = np.unique(np.linspace(0, len(fresh_x) - 1, MOST_USERS).astype(int))
    scores: dict[int, float] = {}
    best: np.ndarray | None = None
    for k in K:
        model = KMeans(k, n_init=5, random_state=k, tol=0.0).fit(fresh_x[sample])
        scores[k] = _silhouette(fresh_x[sample], model.labels_)
        if best is None or scores[k] > max(s for other, s in scores.items() if other != k):
            best = model.cluster_centers_
    assert best is not None
    fresh, fresh_score = _settle(fresh_x, best), max(scores.values())
    report: dict[str, Any] = {"silhouettes": {str(k): round(s, 4) for k, s in scores.items()}}
    if earlier is None:
        ids = [f"taste-{n:02d}" for n in range(1, len(fresh) + 1)]
        # Largest first, so that numbers say something on the first day.
        size = np.bincount(_nearest(fresh_x, fresh), minlength=len(fresh))
        fresh = fresh[np.argsort(-size, kind="stable")]
        return _with(laid, ids, fresh, len(ids) + 1), {**report, "segments": len(ids), "start": "afresh"}
    old = _extended(earlier, laid)
    x = old.coordinates(shares, leanings)[forms]
    kept, kept_ids = _without_empty(x, _settle(x, np.array(old.points)), old.ids)
    kept_score = _silhouette(x[sample], _nearest(x[sample], kept))
    report = {**report, "silhouette_kept": round(kept_score, 4), "silhouette_afresh": round(fresh_score, 4)}
    if fresh_score <= kept_score + MARGIN:
        return _with(old, kept_ids, kept, old.next_number), {
            **report,
            "segments": len(kept),
            "start": "earlier day",
        }
    new = _settle(x, np.stack([x[_nearest(fresh_x, fresh) == c].mean(axis=0) for c in range(len(fresh))]))
    ids, next_number = _matched(new, np.array(old.points), old.ids, old.next_number)
    return _with(old, ids, new, next_number), {**report, "segments": len(new), "start": "afresh, ids matched"}


def _lay_out(shares: dict[str, np.ndarray], leanings: dict[str, np.ndarray], forms: np.ndarray) -> Centroids:
    """Lay coordinates: the categories with most shares, and the leanings' means and spreads."""
    weight = {name: float(values[forms].sum()) for name, values in shares.items()}
    categories = sorted(sorted(weight, key=lambda name: (-weight[name], name))[:MOST_CATEGORIES])
    means, spreads = [], []
    for values in leanings.values():
        known = values[forms & np.isfinite(values)]
        means.append(float(known.mean()) if len(known) else 0.0)
        spreads.append((float(known.std()) if len(known) else 0.0) or 1.0)
    return Centroids(categories, list(leanings), means, spreads, [], [], 1)


def _extended(earlier: Centroids, laid: Centroids) -> Centroids:
    """Add coordinates for categories that the earlier day did not know; its centroids lie at zero there."""
    new = [name for name in laid.categories if name not in earlier.categories]
    at = len(earlier.categories)
    points = [[*p[:at], *([0.0] * len(new)), *p[at:]] for p in earlier.points]
    return Centroids(
        [*earlier.categories, *new], earlier.leanings, earlier.means, earlier.spreads, earlier.ids, points,
        earlier.next_number,
    )  # fmt: skip


def _with(laid: Centroids, ids: list[str], points: np.ndarray, next_number: int) -> Centroids:
    return Centroids(laid.categories, laid.leanings, laid.means, laid.spreads, ids, points.tolist(), next_number)


def _nearest(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the nearest point of each row; ties go to the first."""
    return ((points**2).sum(axis=1)[None, :] - 2.0 * x @ points.T).argmin(axis=1)


def _settle(x: np.ndarray, points: np.ndarray, rounds: int = 300) -> np.ndarray:
    """Lloyd's algorithm until nobody moves; a centroid that nobody is nearest to stays where it was."""
    labels = np.full(len(x), -1)
    for _ in range(rounds):
        now = _nearest(x, points)
        if (now == labels).all():
            break
        labels = now
        size = np.bincount(labels, minlength=len(points))
        sums = np.zeros_like(points)
        np.add.at(sums, labels, x)
        points = np.where(size[:, None] > 0, sums / np.maximum(size, 1)[:, None], points)
    return points


def _without_empty(x: np.ndarray, points: np.ndarray, ids: list[str]) -> tuple[np.ndarray, list[str]]:
    there = np.bincount(_nearest(x, points), minlength=len(points)) > 0
    return points[there], [one for one, kept in zip(ids, there, strict=True) if kept]


def _silhouette(x: np.ndarray, labels: np.ndarray) -> float:
    if len(np.unique(labels)) < 2:
        return -1.0
    return float(silhouette_score(x, labels))


def _matched(new: np.ndarray, old: np.ndarray, ids: list[str], next_number: int) -> tuple[list[str], int]:
    """Give new centroids the ids of old ones: together least distance, none further than half of
    what parts the old.

    What matches none gets a number that no segment had before.
    """
    distance = np.sqrt(((new[:, None, :] - old[None, :, :]) ** 2).sum(axis=2))
    apart = np.sqrt(((old[:, None, :] - old[None, :, :]) ** 2).sum(axis=2))
    reach = 0.5 * float(np.median(apart[~np.eye(len(old), dtype=bool)])) if len(old) > 1 else np.inf
    found: dict[int, str] = {}
    for row, column in zip(*linear_sum_assignment(distance), strict=True):
        if distance[row, column] <= reach:
            found[int(row)] = ids[int(column)]
    result = []
    for row in range(len(new)):
        if row not in found:
            found[row] = f"taste-{next_number:02d}"
            next_number += 1
        result.append(found[row])
    return result, next_number

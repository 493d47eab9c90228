"""The shop's own settings: one dial after another, judged on purchases the trial model has not seen."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.blend import Blend, ItemKnowledge
from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.recommend import all_lists
from ml.recommender.settings import LIST_LENGTH, SEARCH_GRID, BlendSettings

log = logging.getLogger(__name__)

MIN_USERS = 50
MAX_CELLS = 4_000_000  # users x items of one trial: about a tenth of a second
# A dial is moved only for a gain that is more than chance would give it.
MIN_RELATIVE_GAIN = 0.005


@dataclass(frozen=True)
class Targets:
    """What users did buy: `users` are sorted positions, `row` says whose (place in `users`) each item is."""

    users: np.ndarray
    row: np.ndarray
    item: np.ndarray

    @property
    def per_user(self) -> np.ndarray:
        """Number of targets of each user, at least 1."""
        return np.bincount(self.row, minlength=len(self.users))

    def some(self, count: int) -> Targets:
        """Keep at most `count` users, evenly spaced over the sorted ids."""
        if len(self.users) <= count:
            return self
        chosen = np.unique(np.linspace(0, len(self.users) - 1, count).astype(np.int64))
        place = np.full(len(self.users), -1, dtype=np.int64)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.row] >= 0
        return Targets(self.users[chosen], place[self.row[kept]], self.item[kept])


def purchases_between(actions: ActionLog, begin: float, end: float) -> Targets:
    """Return each user's different items bought from `begin` up to, not including, `end` (times in days)."""
    bought = (actions.event == PURCHASE) & (actions.time >= begin) & (actions.time < end)
    return targets_of(actions.user[bought], actions.item[bought], actions.n_items)


def targets_of(user: np.ndarray, item: np.ndarray, n_items: int) -> Targets:
    """Return different (user, item) pairs as targets."""
    pairs = np.unique(user * n_items + item)
    users, row = np.unique(pairs // n_items, return_inverse=True)
    return Targets(users, row, pairs % n_items)


def mean_ndcg(
    blend: Blend, actions: ActionLog, segment: np.ndarray, targets: Targets, k: int = LIST_LENGTH
) -> float:
    """Return NDCG@k of the blend's lists on `targets`, averaged over users."""
    lists = all_lists(blend, actions, segment, targets.users, k)
    hits = hits_at(lists, targets.row, targets.item, actions.n_items)
    return float(ndcg(hits, targets.per_user, k).mean())


def choose_settings(
    knowledge: ItemKnowledge,
    actions: ActionLog,
    targets: Targets,
    settings: BlendSettings,
    grid: tuple[tuple[str, tuple[float, ...]], ...] = SEARCH_GRID,
    k: int = LIST_LENGTH,
    max_cells: int = MAX_CELLS,
) -> tuple[BlendSettings, dict[str, float]]:
    """Move one dial of `grid` after another to its best value for NDCG@k on `targets`.

    Args:
        knowledge: learned from the actions before its as-of time; the targets lie after it.
        actions: all users' actions.
        targets: what the users bought then.
        settings: where to start.
        grid: dials and the values to try.
        k: length of the lists.
        max_cells: users x items to score in one trial; bounds the users tried on.

    Returns:
        The settings, and NDCG@k before and after on the same targets (empty where there were too few).

    """
    if len(targets.users) < MIN_USERS:
        log.info("%d users with purchases to choose settings by, fewer than %d: defaults stay.",
                 len(targets.users), MIN_USERS)  # fmt: skip
        return settings, {}
    sample = targets.some(max(MIN_USERS, max_cells // actions.n_items))
    whose = actions.before(knowledge.as_of).of_users(sample.users)
    sample = Targets(np.arange(len(sample.users)), sample.row, sample.item)
    everyone = np.full(len(sample.users), len(knowledge.popularity.scores) - 1)

    def value(trial: BlendSettings) -> float:
        return mean_ndcg(Blend(knowledge, trial), whose, everyone, sample, k)

    best = value(settings)
    before = best
    for name, values in grid:
        for candidate in values:
            if candidate == getattr(settings, name):
                continue
            change: dict[str, Any] = {name: candidate}
            trial = replace(settings, **change)
            found = value(trial)
            if found > best * (1 + MIN_RELATIVE_GAIN):
                settings, best = trial, found
    log.info("settings chosen on %d users: NDCG@%d %.4f -> %.4f", len(sample.users), k, before, best)
    return settings, {"ndcg_default": round(before, 6), "ndcg_chosen": round(best, 6), "users": len(sample.users)}

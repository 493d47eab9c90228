"""The same model as of a week earlier: what settings, calibration and held-out metrics are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from expectations.tables import EVALUATION_DAYS
from ml.metrics.ranking import hits_at
from ml.recommender.blend import Blend, learn
from ml.recommender.calibration import Calibration, fit_calibration, user_activity
from ml.recommender.dataset import ActionLog, Shop
from ml.recommender.popular import measured_popularity
from ml.recommender.recommend import recommend
from ml.recommender.settings import BlendSettings
from ml.recommender.tune import Targets, choose_settings, purchases_between

CALIBRATION_CELLS = 20_000_000


@dataclass(frozen=True)
class Backtest:
    """A blend as of `EVALUATION_DAYS` before `end`, with settings chosen on the purchases of those days."""

    blend: Blend
    log: ActionLog
    segment: np.ndarray
    targets: Targets
    chosen_by: dict[str, float]

    @property
    def settings(self) -> BlendSettings:
        """The settings chosen."""
        return self.blend.settings

    def calibrate(self) -> Calibration:
        """Fit chances to what was bought of the lists, over buyers and others alike."""
        users = np.flatnonzero(np.bincount(self.log.user, minlength=self.log.n_users))
        step = max(1, len(users) * self.log.n_items // CALIBRATION_CELLS)
        users = users[::step]
        activity = user_activity(self.log, self.blend.items.as_of)
        place = np.full(self.log.n_users, -1, dtype=np.int64)
        place[users] = np.arange(len(users))
        mine = place[self.targets.users[self.targets.row]]
        shards = list(recommend(self.blend, self.log, self.segment, users))
        if not shards:
            return fit_calibration(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 2)))
        lists = np.concatenate([shard.items for shard in shards])
        scores = np.concatenate([shard.scores for shard in shards])
        hits = hits_at(lists, mine[mine >= 0], self.targets.item[mine >= 0], self.log.n_items)
        return fit_calibration(scores, hits, activity[users])


def run_backtest(shop: Shop, text: sparse.csr_matrix, end: float, settings: BlendSettings) -> Backtest:
    """Learn from what lies more than 7 days before `end` (a time in days) and choose settings on those days."""
    begin = end - EVALUATION_DAYS
    log = shop.log.before(begin)
    popularity = measured_popularity(log, begin, settings)
    knowledge = learn(log, text, popularity, shop.catalogue.is_active, begin, settings)
    targets = purchases_between(shop.log, begin, end)
    # Only those with a past can be judged by it.
    has_past = np.bincount(log.user, minlength=log.n_users)[targets.users[targets.row]] > 0
    user = targets.users[targets.row][has_past]
    known = _as_targets(user, targets.item[has_past])
    chosen, chosen_by = choose_settings(knowledge, log, known, settings)
    return Backtest(Blend(knowledge, chosen), log, np.zeros(log.n_users, dtype=np.int64), targets, chosen_by)


def _as_targets(user: np.ndarray, item: np.ndarray) -> Targets:
    users, row = np.unique(user, return_inverse=True)
    return Targets(users, row, item)

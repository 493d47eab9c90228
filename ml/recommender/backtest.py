"""The same model as of a week earlier: what settings, calibration and held-out metrics are judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from expectations.tables import EVALUATION_DAYS
from ml.metrics.ranking import hits_at
from ml.recommender.blend import Blend, learn
from ml.recommender.calibration import Calibration, fit_calibration, user_activity
from ml.recommender.dataset import ActionLog, Shop
from ml.recommender.popular import measured_popularity
from ml.recommender.recommend import Shard, recommend
from ml.recommender.settings import BlendSettings
from ml.recommender.snapshots import buyers_with_a_past
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
        """Fit chances to what was bought of the lists."""

        def shards(users: np.ndarray) -> Iterator[Shard]:
            return recommend(self.blend, self.log, self.segment, users)

        return calibrate(shards, self.log, self.blend.items.as_of, self.targets)


def calibrate(
    shards: Callable[[np.ndarray], Iterator[Shard]], log: ActionLog, as_of: float, targets: Targets
) -> Calibration:
    """Fit chances to what was bought of lists, over buyers and others alike.

    Args:
        shards: makes the lists of users (sorted positions) from what they did before `as_of`.
        log: their actions.
        as_of: time in days.
        targets: what was bought in the 7 days from then on.

    """
    users = np.flatnonzero(np.bincount(log.user[log.time < as_of], minlength=log.n_users))
    step = max(1, len(users) * log.n_items // CALIBRATION_CELLS)
    users = users[::step]
    activity = user_activity(log, as_of)
    place = np.full(log.n_users, -1, dtype=np.int64)
    place[users] = np.arange(len(users))
    mine = place[targets.users[targets.row]]
    found = list(shards(users))
    if not found:
        return fit_calibration(np.zeros((0, 1)), np.zeros((0, 1)), activity[:0])
    lists = np.concatenate([shard.items for shard in found])
    scores = np.concatenate([shard.scores for shard in found])
    hits = hits_at(lists, mine[mine >= 0], targets.item[mine >= 0], log.n_items)
    return fit_calibration(scores, hits, activity[users])


def run_backtest(shop: Shop, text: sparse.csr_matrix, end: float, settings: BlendSettings) -> Backtest:
    """Learn from what lies more than 7 days before `end` (a time in days) and choose settings on those days."""
    begin = end - EVALUATION_DAYS
    log = shop.log.before(begin)
    popularity = measured_popularity(log, begin, settings)
    knowledge = learn(log, text, popularity, shop.catalogue.is_active, begin, settings)
    # Only those with a past can settings be judged by; chances are everyone's.
    known = buyers_with_a_past(shop.log, begin, end)
    chosen, chosen_by = choose_settings(knowledge, log, known, settings)
    nobody = np.zeros(log.n_users, dtype=np.int64)
    return Backtest(Blend(knowledge, chosen), log, nobody, purchases_between(shop.log, begin, end), chosen_by)

"""Past moments of a shop and what its users bought in the week after each: what a model learns to rank from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expectations.tables import EVALUATION_DAYS
from ml.recommender.dataset import ActionLog
from ml.recommender.tune import Targets, purchases_between, targets_of

N_SNAPSHOTS = 8
#: Buyers of a snapshot that are described; evenly spaced over the ids where there are more.
MAX_USERS = 5_000


@dataclass(frozen=True)
class Snapshot:
    """A shop at a moment, `as_of` (days): only actions before it are read; `targets` is what users chose next."""

    log: ActionLog
    as_of: float
    targets: Targets


def buyers_with_a_past(log: ActionLog, begin: float, end: float) -> Targets:
    """Return what users who acted before `begin` bought from then up to `end` (times in days)."""
    targets = purchases_between(log, begin, end)
    has_past = np.bincount(log.user[log.time < begin], minlength=log.n_users) > 0
    kept = has_past[targets.users[targets.row]]
    return targets_of(targets.users[targets.row[kept]], targets.item[kept], log.n_items)


def snapshot_moments(log: ActionLog, end: float, count: int = N_SNAPSHOTS) -> list[float]:
    """Return when the `count` weeks before `end` (a time in days) begin, oldest first.

    Fewer where the shop is young: half of its actions lie before the first of them, to learn from. Actions from
    `end` on are not read.
    """
    times = log.time[log.time < end]
    if not len(times):
        return []
    half = float(np.median(times))
    begins = [end - EVALUATION_DAYS * n for n in range(count, 0, -1)]
    return [begin for begin in begins if begin >= half]


def weekly_snapshots(log: ActionLog, end: float, count: int = N_SNAPSHOTS) -> list[Snapshot]:
    """Return the snapshots of `snapshot_moments`, but for weeks in which nobody who was known before bought."""
    log = log.before(end)
    found = [
        Snapshot(log, begin, buyers_with_a_past(log, begin, begin + EVALUATION_DAYS).some(MAX_USERS))
        for begin in snapshot_moments(log, end, count)
    ]
    return [snapshot for snapshot in found if len(snapshot.targets.users)]

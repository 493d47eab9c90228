"""The chance that an item is bought, where the list does not tell it.

An item outside of the list has been scored below what stands in it (but for what rules and variety moved), so
its chance is taken to be at most that of the list's least likely row, its floor; rows shown to learn aside. How
far below depends on why the item is shown, and that is measured: each module is filled, by its own rules, for
the days one to four weeks earlier, and what of it was bought in the week after each is counted. Four weeks, so
that one day more changes little and pages stay. What was popular is counted anew for these days. Two things
flatter: today's similar items and price drops stand in for those of then, and only today the list takes the
likeliest items away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.homepage.candidates import KINDS, candidates
from ml.homepage.inputs import PageInputs
from ml.homepage.layout import NO_ROW, Listed, place_in_group
from ml.homepage.settings import FOR_YOU, ITEM_MODULES, MODULES, PageSettings

DAYS = 7
WEEKS = 4
USERS = 10_000  # pseudonyms are in no order of their own: the first ones are like any
PRIOR = 1_000.0  # shown items at the shop's own rate, before a module's own count

_BOUGHT_SINCE = """
select distinct shard_users."user", items.item
from features.features.user_actions
inner join shard_users using (user_id)
inner join items using (item_id)
where
    event_type = 'purchase'
    and event_date > getvariable('day') and event_date <= getvariable('day') + 7
order by all
"""


@dataclass(frozen=True)
class ModuleRates:
    """Of each module and kind of candidate (modules x kinds): items shown, how many were bought, and the rate."""

    shown: np.ndarray
    bought: np.ndarray
    rate: np.ndarray

    def of(self, module: str, kind: np.ndarray) -> np.ndarray:
        """Return the rate of each item of a module."""
        return np.asarray(self.rate[MODULES.index(module), kind])

    def report(self) -> dict[str, dict[str, float]]:
        """Return the figures of whatever was shown."""
        return {
            f"{MODULES[module]}_{kind}": {
                "shown": int(self.shown[module, kind]),
                "bought": int(self.bought[module, kind]),
                "rate": round(float(self.rate[module, kind]), 6),
            }
            for module, kind in zip(*np.nonzero(self.shown), strict=True)
        }


def measure_rates(inputs: PageInputs, settings: PageSettings) -> ModuleRates:
    """Fill each module for four earlier days and up to 10,000 users; count what was bought in the week after."""
    shown, bought = np.zeros((len(MODULES), KINDS)), np.zeros((len(MODULES), KINDS))
    n_items, users, purchases = len(inputs.item_ids), 0, 0
    for week in range(1, WEEKS + 1):
        inputs.read_popular(DAYS * week)
        for first, last in inputs.shards(USERS):
            inputs.open_shard(first, last, days_earlier=DAYS * week)
            since = inputs.fetch(_BOUGHT_SINCE)
            keys = since["user"] * n_items + since["item"]
            users, purchases = users + last - first + 1, purchases + len(keys)
            for module in ITEM_MODULES:
                if module != FOR_YOU:
                    pool = candidates(inputs, module, settings)
                    pool = pool.of(place_in_group(pool.user) < settings.sizes[module][1])
                    is_bought = np.isin(pool.user * n_items + pool.item, keys)
                    shown[MODULES.index(module)] += np.bincount(pool.kind, minlength=KINDS)
                    bought[MODULES.index(module)] += np.bincount(pool.kind, is_bought, KINDS)
    inputs.read_popular()
    usual = purchases / max(users * int(inputs.is_shown.sum()), 1)
    return ModuleRates(shown, bought, (bought + PRIOR * usual) / (shown + PRIOR))


def last_chances(listed: Listed, users: np.ndarray) -> np.ndarray:
    """Return the chance of each user's least likely row that is not shown to learn; 0 of one who has none."""
    by_score = np.flatnonzero(~listed.is_exploration)
    floor = np.ones(len(users))
    np.minimum.at(floor, listed.user[by_score] - users[0], listed.probability[by_score])
    return np.where(np.isin(users, listed.user[by_score]), floor, 0.0)


def item_chances(
    row: np.ndarray, user: np.ndarray, listed: Listed, floor: np.ndarray, rate: np.ndarray, usual_floor: float
) -> np.ndarray:
    """Return the chance of each item of a module.

    That of its row in the list; else the user's `floor`, times how the rate compares with the usual floor,
    never more than the floor itself.

    Args:
        row: of each item in the list, or NO_ROW.
        user: of each item, from the shard's first.
        listed: the lists.
        floor: of each user of the shard.
        rate: of each item's module and kind.
        usual_floor: mean floor of all users.

    """
    share = np.minimum(1.0, rate / usual_floor) if usual_floor > 0 else np.zeros(len(row))
    known = listed.probability[np.maximum(row, 0)] if len(listed.user) else np.zeros(len(row))
    return np.where(row == NO_ROW, np.round(floor[user] * share, 9), known)

"""The best anyone could know of a simulated shop: what each user truly wants. For tests and benchmarks only.

    truth = Truth(Path("var/simulated/truth"))
    truth.relevance("u00000012", "2026-10-31")       # {"p000345": 0.031, ...}
    truth.best_list("u00000012", "2026-10-31", 10)

The weight of an item is the expected number of times that the user buys it in the 7 days after the as-of date,
given the user's tastes and plans, and of chance what was drawn up to that date: purchases made, campaigns begun
and contacts sent. Ranking by it gives the best possible expected NDCG, up to this: items are taken to stay as on
the as-of date (price, stock), and of a basket's items each is weighted like its first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from expectations.tables import EVALUATION_DAYS
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.choice import companion_bonus, item_utility, probabilities
from feeds.simulated.days import number_of
from feeds.simulated.dirt import Rates
from feeds.simulated.history import (
    ANONYMOUS_SHARE,
    BASKET_MORE,
    COMPANION,
    COMPANION_CHANCE,
    COMPANION_DELAY,
    HORIZON,
    LONGEST_DELAY,
    MOST_REPEATS,
    REPEAT,
    REPEAT_CHANCE,
    REPEAT_SPREAD,
    SHORTEST_GAP,
    History,
)
from feeds.simulated.people import Shard, shard_count
from feeds.simulated.words import vocabulary


class Truth:
    """Reads `<truth>/shop.json`; the rest follows from it, by the code that made the shop."""

    def __init__(self, folder: Path) -> None:
        shop = json.loads((folder / "shop.json").read_text(encoding="utf-8"))
        self.seed, self.users, self.rates = shop["seed"], shop["users"], Rates(**shop["rates"])
        self._histories: dict[tuple[int, int], History] = {}
        self._catalogues: dict[int, Catalogue] = {}

    def expected_purchases(self, user_ids: Sequence[str], as_of: str) -> tuple[np.ndarray, list[str]]:
        """Return (weights [users x items], item ids): expected purchases of each item that can be bought.

        Who has not registered by the day has a row of zeros.
        """
        day = number_of(date.fromisoformat(as_of))
        catalogue = self._catalogue(day)
        sellable = np.sort(np.concatenate(catalogue.today(day).by_leaf))
        weights = np.zeros((len(user_ids), len(sellable)))
        numbers = np.array([int(user_id[1:]) - 1 for user_id in user_ids], dtype=int)
        shards = shard_count(self.users)
        for index in np.unique(numbers % shards).tolist():
            history = self._history(index, day)
            is_there = (numbers % shards == index) & (numbers // shards < history.shard.count(day))
            rows = np.flatnonzero(is_there)
            wants = _Wants(history, day, numbers[rows] // shards)
            weights[rows] = wants.all_items[:, sellable]
        return weights, [catalogue.item_id(item) for item in sellable.tolist()]

    def relevance(self, user_id: str, as_of: str) -> dict[str, float]:
        """Return one user's expected purchases by item id."""
        weights, items = self.expected_purchases([user_id], as_of)
        return dict(zip(items, weights[0].tolist(), strict=True))

    def best_list(self, user_id: str, as_of: str, k: int) -> list[str]:
        """Return the k items with most expected purchases, best first, ties by id."""
        weights, items = self.expected_purchases([user_id], as_of)
        return [items[place] for place in np.argsort(-weights[0], kind="stable")[:k]]

    def _catalogue(self, day: int) -> Catalogue:
        if day not in self._catalogues:
            self._catalogues[day] = Catalogue(self.seed, self.users, day + EVALUATION_DAYS)
        return self._catalogues[day]

    def _history(self, index: int, day: int) -> History:
        if (index, day) not in self._histories:
            catalogue, rates = self._catalogue(day), self.rates
            shard = Shard(catalogue, self.users, index, day + EVALUATION_DAYS, rates.bot, rates.missing_consent)
            self._histories[index, day] = History(catalogue, shard)
        return self._histories[index, day]


class _Wants:
    """What some users of one shard want after one day."""

    def __init__(self, history: History, day: int, users: np.ndarray) -> None:
        self.history, self.day, self.users = history, day, users
        self.shard, self.catalogue = history.shard, history.catalogue

    @cached_property
    def all_items(self) -> np.ndarray:
        """Expected purchases, [users x every item of the catalogue]."""
        wants = self._own()
        place = {int(user): row for row, user in enumerate(self.users.tolist())}
        for earlier in range(max(0, self.day - HORIZON), self.day + 1):
            self._add_follow_ups(wants, earlier, place)
        return wants

    def _own(self) -> np.ndarray:
        """Purchases that nothing before leads to: visits x chance to buy x category x item."""
        today = self.catalogue.today(self.day)
        in_leaf = np.zeros((len(self.users), len(today.by_leaf)))
        for day in range(self.day + 1, self.day + 1 + EVALUATION_DAYS):
            demand = self.history.demand(day, known_on=self.day)
            often = demand.visit_rate[self.users] * demand.buys[self.users]
            in_leaf += often[:, None] * probabilities(self.history.leaf_wish(demand, self.users, day))
        in_leaf *= (1 - ANONYMOUS_SHARE) * float(BASKET_MORE @ np.arange(1, len(BASKET_MORE) + 1))
        wants = np.zeros((len(self.users), len(today.price)))
        for leaf, items in enumerate(today.by_leaf):
            if len(items):
                of_item = probabilities(item_utility(self.shard, self.users, self.catalogue, items, self.day))
                wants[:, items] = in_leaf[:, leaf, None] * of_item
        return wants

    def _add_follow_ups(self, wants: np.ndarray, bought_on: int, place: dict[int, int]) -> None:
        """Add what the purchases of one day still lead to within the seven days, given what they led to so far."""
        own, follow_ups = self.history.own_visits(bought_on), self.history.follow_ups(bought_on)
        known = ~own.is_anonymous[own.visit]
        buyers, items = own.user[own.visit[known]].tolist(), own.item[known].tolist()
        seen = follow_ups.due <= self.day
        for purchase, (user, item) in enumerate(zip(buyers, items, strict=True)):
            if user not in place:
                continue
            leaf = vocabulary().leaves[self.catalogue.leaf[item]]
            of_purchase = seen & (follow_ups.purchase == purchase)
            if leaf.rhythm_days:
                repeats = follow_ups.due[of_purchase & (follow_ups.reason == REPEAT)]
                if len(repeats) < MOST_REPEATS:
                    last = int(repeats.max(initial=bought_on))
                    within = [_gap_within(leaf.rhythm_days, self.day - last + ahead) for ahead in _AHEAD]
                    wants[place[user], item] += _still_to_come(REPEAT_CHANCE, *within)
            if leaf.goes_with >= 0 and not (of_purchase & (follow_ups.reason == COMPANION)).any():
                within = [_delay_within(self.day - bought_on + ahead) for ahead in _AHEAD]
                chance = _still_to_come(COMPANION_CHANCE, *within)
                companions = self.catalogue.today(self.day).by_leaf[leaf.goes_with]
                if chance > 0 and len(companions):
                    utility = item_utility(self.shard, np.array([user]), self.catalogue, companions, self.day)
                    utility = utility + companion_bonus(self.catalogue, np.array([item]), companions)
                    wants[place[user], companions] += chance * probabilities(utility)[0]


_AHEAD = (0, EVALUATION_DAYS)


def _still_to_come(chance: float, by_now: float, by_then: float) -> float:
    """Return the chance that what happens with `chance` at all, and has not so far, happens in the time ahead.

    `by_now` and `by_then` are the chances that it would have happened by then, if it does at all.
    """
    return chance * (by_then - by_now) / (1 - chance * by_now)


def _gap_within(rhythm_days: int, days: int) -> float:
    """Return the chance that the gap between two purchases of a consumable is at most `days`."""
    if days < SHORTEST_GAP:
        return 0.0
    return float(ndtr(np.log((days + 0.5) / rhythm_days) / REPEAT_SPREAD))


def _delay_within(days: int) -> float:
    """Return the chance that a companion is bought at most `days` after, if at all."""
    return 1.0 if days >= LONGEST_DELAY else float(1 - np.exp(-days / COMPANION_DELAY))

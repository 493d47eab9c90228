"""Who visits when, and what they buy: the part of the shop that depends on what happened before.

A day's own visits need no past. What a purchase leads to later (buying a consumable again with its rhythm, the
case after the phone) is drawn on the day of the purchase as a list of dates. So any day can be made alone: its
visits are its own and what the `HORIZON` days before put on it, and those days' own visits need no past either.
What was made is kept for a while, so making day after day costs each day once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from feeds.simulated.campaigns import BUYS_FACTOR, CONTACT_SHARE, INTEREST, VISITS_FACTOR, Campaign, effect
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.choice import best_by_chance, companion_bonus, item_utility, leaf_utility
from feeds.simulated.people import STAGES, Shard
from feeds.simulated.randomness import pick, stream
from feeds.simulated.words import vocabulary

HORIZON = 90  # days after which a purchase leads to nothing any more
ANONYMOUS_SHARE = 0.12
MOST_VISITS_A_DAY = 6
BROWSE, REPEAT, COMPANION = range(3)
REASONS = ("browse", "repeat", "companion")

REPEAT_CHANCE = 0.75  # that a consumable is bought once more, each time
REPEAT_SPREAD = 0.2  # sigma of the log of the gap around the category's rhythm
SHORTEST_GAP = 3
MOST_REPEATS = 6
COMPANION_CHANCE = 0.5
COMPANION_DELAY = 3.0  # mean of the exponential; rounded up to days, at most LONGEST_DELAY
LONGEST_DELAY = 14
BASKET_MORE = np.array([0.78, 0.17, 0.05])  # one, two or three different items
TOLD_LATER_SHARE = 0.3  # of the contacts of a campaign go out on its second day


@dataclass(frozen=True)
class Visits:
    """Visits of one day, and what was bought in them: `item[j]` in visit number `visit[j]`.

    `user` is a number in the shard, also where the visitor is not logged in; `campaign` is -1 without one.
    """

    user: np.ndarray
    is_anonymous: np.ndarray
    leaf: np.ndarray
    campaign: np.ndarray
    reason: np.ndarray
    visit: np.ndarray
    item: np.ndarray


@dataclass(frozen=True)
class FollowUps:
    """What one day's purchases lead to: on day `due`, `user` buys `item` again or a companion of it.

    `link` counts the repeats of one purchase, 0 for the first; `purchase` numbers the purchases of the day.
    """

    user: np.ndarray
    item: np.ndarray
    due: np.ndarray
    reason: np.ndarray
    link: np.ndarray
    purchase: np.ndarray


@dataclass(frozen=True)
class Contacts:
    """Who was told of one campaign, on which day and at which second of it."""

    user: np.ndarray
    day: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class Demand:
    """What one day brings without the past: by user, the visits expected and the chance that a visit buys.

    `told` lists the campaigns at work with the users told of them.
    """

    visit_rate: np.ndarray
    buys: np.ndarray
    told: tuple[tuple[Campaign, np.ndarray], ...]


class History:
    """One shard's visits and purchases."""

    def __init__(self, catalogue: Catalogue, shard: Shard) -> None:
        self.catalogue = catalogue
        self.shard = shard
        self.contacts = lru_cache(maxsize=64)(self._contacts)
        self.own_visits = lru_cache(maxsize=HORIZON + 40)(self._own_visits)
        self.follow_ups = lru_cache(maxsize=HORIZON + 40)(self._follow_ups)
        self.visits = lru_cache(maxsize=32)(self._visits)
        self.quantities = lru_cache(maxsize=32)(self._quantities)

    def _contacts(self, campaign: Campaign) -> Contacts:
        rng = stream(self.shard.seed, "contacts", self.shard.index, campaign.number)
        can_be_told = self.shard.can_be_told(campaign.starts)
        draw = rng.random((len(can_be_told), 3))
        user = np.flatnonzero(can_be_told & (draw[:, 0] < CONTACT_SHARE))
        later = draw[user, 1] < TOLD_LATER_SHARE
        return Contacts(user, campaign.starts + later, (8 * 3600 + 6 * 3600 * draw[user, 2]).astype(int))

    def demand(self, day: int, known_on: int) -> Demand:
        """Return how much each user wants on `day`, as far as campaigns begun by `known_on` go."""
        shard = self.shard
        rate, buys = shard.visit_rate(day), shard.buys[: shard.count(day)].copy()
        told = []
        for campaign in self.catalogue.campaigns_on(day):
            if campaign.starts > known_on:
                continue
            contacts = self.contacts(campaign)
            users = contacts.user[contacts.day <= min(day, known_on)]
            rate[users] *= effect(VISITS_FACTOR, shard.response[users], campaign.strength)
            buys[users] *= effect(BUYS_FACTOR, shard.response[users], campaign.strength)
            told.append((campaign, users))
        return Demand(rate, np.minimum(buys, 1.0), tuple(told))

    def leaf_wish(self, demand: Demand, user: np.ndarray, day: int) -> np.ndarray:
        """Return what each category is worth to some users on `day`, campaigns included: [users x leaves]."""
        wish = leaf_utility(self.shard, user, self.catalogue, day)
        for campaign, users in demand.told:
            interest = INTEREST[self.shard.response[user]] * campaign.strength * np.isin(user, users)
            wish[:, list(campaign.leaves)] += interest[:, None]
        return wish

    def _own_visits(self, day: int) -> Visits:
        """Draw the visits of `day` that no earlier purchase leads to."""
        shard = self.shard
        rng = stream(shard.seed, "visits of day", shard.index, day)
        demand = self.demand(day, known_on=day)
        times = np.minimum(rng.poisson(demand.visit_rate), MOST_VISITS_A_DAY)
        user = np.repeat(np.arange(len(times)), times)
        leaf = best_by_chance(rng, self.leaf_wish(demand, user, day), 1)[:, 0]
        came_through = np.full(len(user), -1)
        for campaign, users in demand.told:
            came_through[np.isin(user, users) & np.isin(leaf, campaign.leaves)] = campaign.number
        is_anonymous = rng.random(len(user)) < ANONYMOUS_SHARE
        does_buy = rng.random(len(user)) < demand.buys[user]
        basket = np.where(does_buy, 1 + pick(rng, BASKET_MORE, len(user)), 0)
        visit, item = self._choose(rng, user, leaf, basket, day)
        return Visits(user, is_anonymous, leaf, came_through, np.full(len(user), BROWSE), visit, item)

    def _choose(
        self,
        rng: np.random.Generator,
        user: np.ndarray,
        leaf: np.ndarray,
        basket: np.ndarray,
        day: int,
        after: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let each visitor choose `basket` items of a leaf, as companions of `after` if given: (visit, item)."""
        by_leaf = self.catalogue.today(day).by_leaf
        visits, items = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
        for number in np.unique(leaf[basket > 0]):
            rows, offered = np.flatnonzero((leaf == number) & (basket > 0)), by_leaf[number]
            if len(offered) == 0:
                continue
            utility = item_utility(self.shard, user[rows], self.catalogue, offered, day)
            if after is not None:
                utility += companion_bonus(self.catalogue, after[rows], offered)
            chosen = offered[best_by_chance(rng, utility, int(basket.max()))]
            kept = np.arange(chosen.shape[1])[None, :] < basket[rows][:, None]
            visits.append(np.repeat(rows, kept.sum(axis=1)))
            items.append(chosen[kept])
        return np.concatenate(visits), np.concatenate(items)

    def _follow_ups(self, day: int) -> FollowUps:
        """Draw what the purchases of `day` lead to, those that were follow-ups themselves aside."""
        shard, leaves = self.shard, vocabulary().leaves
        rng = stream(shard.seed, "follow-ups", shard.index, day)
        own = self.own_visits(day)
        known = ~own.is_anonymous[own.visit]
        user, item = own.user[own.visit[known]], own.item[known]
        leaf = self.catalogue.leaf[item]
        rhythm = np.array([leaf.rhythm_days for leaf in leaves])[leaf]
        goes_with = np.array([leaf.goes_with for leaf in leaves])[leaf]

        noise = rng.standard_normal((len(user), MOST_REPEATS))
        gaps = np.maximum(np.rint(rhythm[:, None] * np.exp(REPEAT_SPREAD * noise)), SHORTEST_GAP).astype(int)
        due = day + np.cumsum(gaps, axis=1)
        goes_on = np.cumprod(rng.random(gaps.shape) < REPEAT_CHANCE, axis=1).astype(bool)
        rows, links = np.nonzero(goes_on & (rhythm[:, None] > 0) & (due <= day + HORIZON))
        chance, wait = rng.random(len(user)), rng.exponential(COMPANION_DELAY, len(user))
        delay = np.minimum(np.ceil(wait), LONGEST_DELAY).astype(int)
        pairs = np.flatnonzero((goes_with >= 0) & (chance < COMPANION_CHANCE))
        return FollowUps(
            user=np.concatenate([user[rows], user[pairs]]),
            item=np.concatenate([item[rows], item[pairs]]),
            due=np.concatenate([due[rows, links], day + np.maximum(delay[pairs], 1)]),
            reason=np.concatenate([np.full(len(rows), REPEAT), np.full(len(pairs), COMPANION)]),
            link=np.concatenate([links, np.zeros(len(pairs), dtype=int)]),
            purchase=np.concatenate([rows, pairs]),
        )

    def _visits(self, day: int) -> Visits:
        """Return all visits of `day`: its own, and those that earlier purchases lead to."""
        shard, catalogue = self.shard, self.catalogue
        rng = stream(shard.seed, "visits due", shard.index, day)
        due: list[FollowUps] = []
        for earlier in range(max(0, day - HORIZON), day):
            of_day = self.follow_ups(earlier)
            now = of_day.due == day
            due.append(FollowUps(*(getattr(of_day, field)[now] for field in FollowUps.__dataclass_fields__)))
        own = self.own_visits(day)
        if not due:
            return own
        user = np.concatenate([part.user for part in due])
        item = np.concatenate([part.item for part in due])
        reason = np.concatenate([part.reason for part in due])
        # Who has left, and what is sold out or no longer sold, is not bought again.
        stays = shard.stage(day)[user] != STAGES.index("gone")
        today = catalogue.today(day)
        stays &= (reason == COMPANION) | (today.is_active[item] & (today.stock[item] > 0))
        user, item, reason = user[stays], item[stays], reason[stays]
        goes_with = np.array([leaf.goes_with for leaf in vocabulary().leaves])
        leaf = np.where(reason == REPEAT, catalogue.leaf[item], goes_with[catalogue.leaf[item]])
        companions = reason == COMPANION
        visit, companion = self._choose(rng, user, leaf, companions.astype(int), day, after=item)
        first = len(own.user)
        again = np.flatnonzero(~companions)
        return Visits(
            user=np.concatenate([own.user, user]),
            is_anonymous=np.concatenate([own.is_anonymous, np.zeros(len(user), dtype=bool)]),
            leaf=np.concatenate([own.leaf, leaf]),
            campaign=np.concatenate([own.campaign, np.full(len(user), -1)]),
            reason=np.concatenate([own.reason, reason]),
            visit=np.concatenate([own.visit, first + again, first + visit]),
            item=np.concatenate([own.item, item[again], companion]),
        )

    def _quantities(self, day: int) -> np.ndarray:
        """Return the pieces of each purchase of `day`: consumables are at times bought by the two or three."""
        item = self.visits(day).item
        rng = stream(self.shard.seed, "quantities", self.shard.index, day)
        rhythm = np.array([leaf.rhythm_days for leaf in vocabulary().leaves])[self.catalogue.leaf[item]]
        return 1 + np.minimum(rng.poisson(0.4, len(item)), 2) * (rhythm > 0)

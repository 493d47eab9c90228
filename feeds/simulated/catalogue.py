"""What the shop sells: items with a place in taste space, and how they stand on each day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache

import numpy as np

from feeds.simulated.campaigns import Campaign, campaigns_through
from feeds.simulated.days import arrival_days, day_of, present_by
from feeds.simulated.randomness import stream
from feeds.simulated.words import LANGUAGES, vocabulary

DIMENSIONS = 8
FOUNDING_PERCENT = 85
REPRICED_EVERY = 28
RESTOCKED_EVERY = 7
SOLD_OUT_SHARE = 0.03
RETIRED_SHARE = 0.25


def catalogue_size(users: int) -> int:
    """Return how many items a shop of that many users has after DAYS_TO_SIZE days: 600 at 2,000 users."""
    return round(600 * math.sqrt(users / 2000))


@dataclass(frozen=True)
class ItemsToday:
    """How items stand on one day; arrays over the items that exist. `by_leaf` lists those that can be bought."""

    price: np.ndarray
    stock: np.ndarray
    is_active: np.ndarray
    by_leaf: tuple[np.ndarray, ...]


class Catalogue:
    """All items up to `last_day`. Item i is the same whatever `last_day` is."""

    def __init__(self, seed: int, users: int, last_day: int) -> None:
        words = vocabulary()
        self.seed = seed
        self.size = max(catalogue_size(users), 4 * len(words.leaves))
        # A campaign is announced up to two days before it starts, so those of next week are part of the day.
        self.campaigns = campaigns_through(seed, users, last_day + 7)
        self.born = arrival_days(last_day, self.size, FOUNDING_PERCENT)
        n = len(self.born)

        leaf_draw = stream(seed, "item leaves").integers(0, len(words.leaves), n)
        self.leaf = np.where(np.arange(n) < len(words.leaves), np.arange(n), leaf_draw)
        leaf_brands = np.array([(leaf.brands * 8)[:8] for leaf in words.leaves])
        self.brand = leaf_brands[self.leaf, stream(seed, "item brands").integers(0, 8, n)]
        self.style = np.stack(
            [stream(seed, "item styles", k).integers(0, len(words.styles), n) for k in range(2)], axis=1
        )
        own = np.array([LANGUAGES.index(leaf.language) for leaf in words.leaves])[self.leaf]
        self.language = np.where(stream(seed, "item languages").random(n) < 0.75, own, 1 - own)

        self.style_vectors = _unit(stream(seed, "styles").standard_normal((len(words.styles), DIMENSIONS)))
        self.brand_vectors = _unit(stream(seed, "brands").standard_normal((len(words.brands), DIMENSIONS)))
        noise = stream(seed, "item tastes").standard_normal((n, DIMENSIONS))
        self.vector = _unit(
            self.style_vectors[self.style[:, 0]]
            + 0.6 * self.style_vectors[self.style[:, 1]]
            + 0.35 * self.brand_vectors[self.brand]
            + 0.12 * noise
        )
        self.quality = stream(seed, "item quality").standard_normal(n)
        self.appeal = stream(seed, "item appeal").standard_normal(n)

        median = np.array([leaf.price for leaf in words.leaves])[self.leaf]
        spread = np.array([leaf.spread for leaf in words.leaves])[self.leaf]
        self.leaf_median = median
        # Good and premium things cost more: quality is not free, or price would tell nothing.
        premium = (self.style[:, 0] == 3) * 0.3
        self.list_price = median * np.exp(
            spread * (0.9 * stream(seed, "item prices").standard_normal(n) + 0.3 * self.quality + premium)
        )
        self.phase = stream(seed, "item phases").integers(0, REPRICED_EVERY, n)
        fate = stream(seed, "item fates").random((n, 2))
        self.retires = np.where(fate[:, 0] < RETIRED_SHARE, self.born + 10 + (fate[:, 1] * 300).astype(int), 10**6)
        self.age = stream(seed, "item ages").random(n)
        self.today = lru_cache(maxsize=160)(self._today)

    def count(self, day: int) -> int:
        """Return how many items exist on `day`, retired ones included."""
        return present_by(day, self.size, FOUNDING_PERCENT)

    def item_id(self, item: int) -> str:
        """Return the shop's id of an item."""
        return f"p{item + 1:06d}"

    def created_at(self, item: int) -> datetime:
        """Return when the item entered the catalogue; founders up to 400 days before the opening."""
        born = int(self.born[item])
        day = born if born >= 0 else -1 - int(self.age[item] * 400)
        return datetime.combine(day_of(day), time(hour=1), tzinfo=UTC)

    def campaigns_on(self, day: int) -> list[Campaign]:
        """Return the campaigns that run on `day`."""
        return [campaign for campaign in self.campaigns if campaign.is_on(day)]

    def _today(self, day: int) -> ItemsToday:
        n = self.count(day)
        born, leaf = self.born[:n], self.leaf[:n]
        discount = np.zeros(n)
        for campaign in self.campaigns_on(day):
            discount = np.maximum(discount, campaign.discount * campaign.covers(leaf, born))
        drift = 0.9 + 0.2 * self._epoch_draw("prices", day, REPRICED_EVERY, n)
        price = np.round(self.list_price[:n] * drift * (1 - discount), 2)
        supply = self._epoch_draw("stock", day, RESTOCKED_EVERY, n)
        stock = np.where(supply < SOLD_OUT_SHARE, 0, (5 + 400 * supply**2).astype(int))
        is_active = day < self.retires[:n]
        can_be_bought = is_active & (stock > 0)
        by_leaf = tuple(
            np.flatnonzero(can_be_bought & (leaf == number)) for number in range(len(vocabulary().leaves))
        )
        return ItemsToday(price, stock, is_active, by_leaf)

    def _epoch_draw(self, purpose: str, day: int, every: int, n: int) -> np.ndarray:
        """Return one uniform draw an item that lasts for `every` days; items change on different days."""
        epoch = (day + self.phase[:n]) // every
        drawn = np.zeros(n)
        for number in np.unique(epoch):
            drawn = np.where(epoch == number, stream(self.seed, purpose, int(number)).random(n), drawn)
        return drawn

    def changed(self, day: int) -> np.ndarray:
        """Return the items whose row is new or differs from the day before: all on the opening day."""
        now = self.today(day)
        if day == 0:
            return np.arange(len(now.price))
        before = self.today(day - 1)
        known = len(before.price)
        differs = np.ones(len(now.price), dtype=bool)
        differs[:known] = (
            (now.price[:known] != before.price)
            | (now.stock[:known] != before.stock)
            | (now.is_active[:known] != before.is_active)
        )
        return np.flatnonzero(differs)

    def title(self, item: int) -> str:
        """Return the item's name: brand, styles, noun and specification in its language."""
        words, language = vocabulary(), LANGUAGES[self.language[item]]
        leaf = words.leaves[self.leaf[item]]
        first, second = (words.styles[style][language] for style in self.style[item])
        spec = leaf.specs[item % len(leaf.specs)]
        adjectives = [first[item % 2], *([second[item // 2 % 2]] if first != second else [])]
        brand = words.brands[self.brand[item]]
        if language == "zh":
            return f"{brand} {''.join(adjectives)}{leaf.noun['zh']} {spec}"
        return f"{brand} {' '.join(adjectives)} {leaf.noun['en']} {spec}"

    def description(self, item: int) -> str:
        """Return a few sentences that tell of the item's styles."""
        words, language = vocabulary(), LANGUAGES[self.language[item]]
        leaf, brand = words.leaves[self.leaf[item]], words.brands[self.brand[item]]
        says = [words.styles[style]["says"][language] for style in dict.fromkeys(self.style[item].tolist())]
        if language == "zh":
            return f"{brand}{leaf.noun['zh']}。" + "".join(says)
        return f"{leaf.noun['en']} by {brand}. " + " ".join(says)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))

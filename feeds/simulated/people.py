"""Who shops: tastes, habits, the course of their interest, their consent; and who is a machine."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import numpy as np

from feeds.simulated.campaigns import RESPONSE_SHARES
from feeds.simulated.catalogue import DIMENSIONS, Catalogue
from feeds.simulated.days import SECONDS_A_DAY, arrival_days, day_of, present_by
from feeds.simulated.randomness import pick, stream
from feeds.simulated.words import LANGUAGES, vocabulary

SHARD_USERS = 20_000
FOUNDING_PERCENT = 60
HUMAN, CRAWLER, CLICK_BOT = range(3)
KINDS = ("human", "crawler", "click_bot")
STAGES = ("new", "active", "fading", "gone")
NEW_DAYS, FADING_DAYS = 14, 20
NEVER = 10**6

MEAN_VISITS_A_DAY = 0.175
WEEKDAY_FACTOR = np.array([0.92, 0.9, 0.92, 0.96, 1.05, 1.15, 1.1])
#: Consent is yes, no, or empty, which means no.
YES, NO, EMPTY = range(3)
CONSENT_WORDS = ("true", "false", "")
PERSONALIZATION_NO, MARKETING_NO = 0.03, 0.3
CONSENT_WITHDRAWN, ERASURE_ASKED = 0.02, 0.006


def shard_count(users: int) -> int:
    """Return how many shards a shop of that size is made in."""
    return -(-users // SHARD_USERS)


class Shard:
    """One share of the users: those whose number modulo the number of shards is `index`.

    Arrays are over the shard's users up to `last_day`, in order of registration; a user's values are the same
    whatever `last_day` is, so a day's draws over `count(day)` users are too.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        users: int,
        index: int,
        last_day: int,
        bot_share: float,
        unasked_share: float,
    ) -> None:
        words, seed = vocabulary(), catalogue.seed
        self.seed, self.users, self.index, self.shards = seed, users, index, shard_count(users)
        registered = arrival_days(last_day, users, FOUNDING_PERCENT)[index :: self.shards]
        n = len(registered)
        self.number = np.arange(n) * self.shards + index
        self.registered = np.where(
            registered >= 0, registered, -1 - (stream(seed, "founding", index).random(n) * 700).astype(int)
        )
        self.registered_second = (stream(seed, "registered at", index).random(n) * 0.7 * SECONDS_A_DAY).astype(int)

        favorites = stream(seed, "favorite styles", index).integers(0, len(words.styles), (n, 2))
        own = stream(seed, "own taste", index).standard_normal((n, DIMENSIONS))
        styles = catalogue.style_vectors
        taste = styles[favorites[:, 0]] + 0.6 * styles[favorites[:, 1]] + 0.2 * own
        self.taste = taste / np.sqrt((taste**2).sum(axis=1, keepdims=True))
        tree = np.array([leaf.tree for leaf in words.leaves])
        of_tree = stream(seed, "tree preference", index).standard_normal((n, tree.max() + 1))
        of_leaf = stream(seed, "leaf preference", index).standard_normal((n, len(words.leaves)))
        self.leaf_preference = (1.1 * of_tree[:, tree] + 1.2 * of_leaf).astype(np.float32)
        self.price_sensitivity = np.exp(0.6 * stream(seed, "price sensitivity", index).standard_normal(n))
        self.visits = np.minimum(stream(seed, "visits", index).gamma(0.9, MEAN_VISITS_A_DAY / 0.9, n), 2.0)
        self.buys = stream(seed, "buys", index).beta(2.5, 6.0, n)
        self.hour = 11 + 4.5 * stream(seed, "hour", index).standard_normal(n)
        self.platform = pick(stream(seed, "platform", index), np.array([0.2, 0.25, 0.25, 0.3]), n)
        self.response = pick(stream(seed, "response", index), RESPONSE_SHARES, n)
        self.language = pick(stream(seed, "language", index), np.array([0.6, 0.4]), n)
        self.region = stream(seed, "region", index).random(n)

        bot = stream(seed, "bots", index).random((n, 2))
        self.kind = np.where(bot[:, 0] < bot_share, np.where(bot[:, 1] < 0.6, CRAWLER, CLICK_BOT), HUMAN)
        first_day = np.maximum(self.registered, 0)
        fate = stream(seed, "fate", index).random((n, 6))
        stays = (fate[:, 0] < 0.3) | (self.kind != HUMAN)
        self.churned = np.where(stays, NEVER, first_day + 7 + (-150 * np.log1p(-fate[:, 1])).astype(int))
        asked = (fate[:, 2] < ERASURE_ASKED) & (self.kind == HUMAN)
        self.erased = np.where(asked, first_day + 10 + (fate[:, 3] * 120).astype(int), NEVER)
        withdrawn = fate[:, 4] < CONSENT_WITHDRAWN
        self.withdrawn = np.where(withdrawn, first_day + 5 + (fate[:, 5] * 120).astype(int), NEVER)
        consent = stream(seed, "consent", index).random((n, 2))
        self.personalization = np.where(
            consent[:, 0] < unasked_share,
            EMPTY,
            np.where(consent[:, 0] < unasked_share + PERSONALIZATION_NO, NO, YES),
        )
        self.marketing = np.where(consent[:, 1] < MARKETING_NO, NO, YES)

    def count(self, day: int) -> int:
        """Return how many of the shard's users are registered at the end of `day`."""
        return max(0, -(-(present_by(day, self.users, FOUNDING_PERCENT) - self.index) // self.shards))

    def user_id(self, user: int) -> str:
        """Return the shop's id of a user."""
        return f"u{self.number[user] + 1:08d}"

    def stage(self, day: int) -> np.ndarray:
        """Return the number in STAGES of each user registered by `day`."""
        n = self.count(day)
        left = np.minimum(self.churned[:n], self.erased[:n]) - day
        young = day - self.registered[:n] < NEW_DAYS
        return np.select([left <= 0, left <= FADING_DAYS, young], [3, 2, 0], default=1)

    def visit_rate(self, day: int) -> np.ndarray:
        """Return the visits expected of each registered user on `day`, campaigns aside; machines have none."""
        n = self.count(day)
        left = np.minimum(self.churned[:n], self.erased[:n]) - day
        of_stage = np.array([1.6, 1.0, 1.0, 0.0])[self.stage(day)] * np.clip(left / FADING_DAYS, 0.15, 1.0)
        return self.visits[:n] * of_stage * WEEKDAY_FACTOR[day_of(day).weekday()] * (self.kind[:n] == HUMAN)

    def can_be_told(self, day: int) -> np.ndarray:
        """Return which registered users may be contacted on `day`: agreed, human, and still a customer."""
        n = self.count(day)
        agreed = (self.marketing[:n] == YES) & (self.withdrawn[:n] > day)
        return agreed & (self.kind[:n] == HUMAN) & (self.stage(day) < STAGES.index("gone"))

    def changed(self, day: int) -> np.ndarray:
        """Return the users whose row is new or differs from the day before: all on the opening day."""
        n = self.count(day)
        if day == 0:
            return np.arange(n)
        return np.flatnonzero((self.registered[:n] == day) | (self.withdrawn[:n] == day))

    def row(self, user: int, day: int) -> dict[str, str]:
        """Return the user's row of the users feed as on `day`."""
        withdrawn = self.withdrawn[user] <= day
        consents = [NO, NO] if withdrawn else [self.personalization[user], self.marketing[user]]
        return {
            "user_id": self.user_id(user),
            "registered_at": self.registered_at(user).isoformat() + "Z",
            "language": LANGUAGES[self.language[user]],
            "region": self.region_name(user),
            "has_personalization_consent": CONSENT_WORDS[consents[0]],
            "has_marketing_consent": CONSENT_WORDS[consents[1]],
        }

    def registered_at(self, user: int) -> datetime:
        """Return when the account was opened (UTC, without the mark)."""
        midnight = datetime.combine(day_of(int(self.registered[user])), time())
        return midnight + timedelta(seconds=int(self.registered_second[user]))

    def region_name(self, user: int) -> str:
        """Return the user's region."""
        names = vocabulary().regions[LANGUAGES[self.language[user]]]
        return names[int(self.region[user] * len(names))]

"""The shop's campaigns and what they truly do.

A week brings one or more campaigns (more in a larger shop). Who is told is drawn at random among the users who
agreed to marketing, so that the others are a fair comparison. What being told does depends on the user's type
(the four of uplift modelling): a persuadable visits and buys more, a sure thing would have bought anyway, a lost
cause does not care, and who does not want to be disturbed stays away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from feeds.simulated.days import day_of
from feeds.simulated.randomness import pick, stream
from feeds.simulated.words import vocabulary

RESPONSES = ("persuadable", "sure_thing", "lost_cause", "do_not_disturb")
RESPONSE_SHARES = np.array([0.30, 0.25, 0.35, 0.10])
#: What being told of a campaign of strength 1 does, by response: factor on visits, on the chance that a visit
#: buys, and the log factor on the covered categories.
VISITS_FACTOR = np.array([1.8, 1.05, 1.0, 0.5])
BUYS_FACTOR = np.array([1.5, 1.0, 1.0, 0.7])
INTEREST = np.array([1.5, 0.3, 0.0, 0.0])

KINDS = ("discount", "coupon", "new_arrivals")
KIND_SHARES = np.array([0.45, 0.35, 0.2])
CHANNELS = ("push", "sms", "email", "home_page")
CONTACT_SHARE = 0.4  # of those who may be told
NEW_ARRIVAL_DAYS = 21


@dataclass(frozen=True)
class Campaign:
    """One campaign; days are the shop's days, both ends included."""

    number: int
    kind: str
    channel: str
    starts: int
    ends: int
    leaves: tuple[int, ...]
    discount: float
    strength: float
    language: str

    @property
    def campaign_id(self) -> str:
        """The shop's id."""
        return f"c{self.number:05d}"

    @property
    def announced(self) -> int:
        """Day whose campaigns file brings it."""
        return max(self.starts - 2, 0)

    def is_on(self, day: int) -> bool:
        """Whether it runs on that day."""
        return self.starts <= day <= self.ends

    def covers(self, leaf: np.ndarray, born: np.ndarray) -> np.ndarray:
        """Return which items (their leaf, the day they were born) it covers."""
        covered = np.isin(leaf, self.leaves)
        if self.kind == "new_arrivals":
            covered &= (born >= self.starts - NEW_ARRIVAL_DAYS) & (born <= self.starts)
        return covered

    def row(self, item_ids: list[str]) -> dict[str, str]:
        """Return its row of the campaigns feed; new arrivals name `item_ids`, the others their categories."""
        name, description = self._words()
        row = {
            "campaign_id": self.campaign_id,
            "name": name,
            "starts_on": day_of(self.starts).isoformat(),
            "ends_on": day_of(self.ends).isoformat(),
            "description": description,
            "campaign_type": self.kind,
            "channel": self.channel,
        }
        if self.kind == "new_arrivals":
            return {**row, "item_ids": "|".join(item_ids)}
        return {**row, "category_paths": "|".join(vocabulary().leaves[leaf].path for leaf in self.leaves)}

    def _words(self) -> tuple[str, str]:
        nouns = [vocabulary().leaves[leaf].noun[self.language] for leaf in self.leaves]
        percent = round(self.discount * 100)
        if self.language == "zh":
            what = "、".join(nouns)
            offers = {
                "discount": (f"{what}限时特惠", f"{what}全场直降{percent}%，数量有限。"),
                "coupon": (f"{what}专享券", f"领券购买{what}更优惠。"),
                "new_arrivals": ("新品上架", "三周内新品，抢先看。"),
            }
        else:
            what = " & ".join(nouns)
            offers = {
                "discount": (f"{what}: {percent}% off", f"{percent}% off every {what}, while stocks last."),
                "coupon": (f"Coupon for {what}", f"Use your coupon on {what}."),
                "new_arrivals": ("New arrivals", "What came in the last three weeks."),
            }
        return offers[self.kind]


def effect(factor: np.ndarray, response: np.ndarray, strength: float) -> np.ndarray:
    """Return the factor for users of these responses when told of a campaign of this strength."""
    return 1.0 + (factor[response] - 1.0) * strength


def campaigns_through(seed: int, users: int, last_day: int) -> tuple[Campaign, ...]:
    """Return every campaign that starts in a week begun by `last_day`, in order of number."""
    a_week = max(1, round(math.log10(users) - 1.3))
    leaves = len(vocabulary().leaves)
    made: list[Campaign] = []
    for week in range(last_day // 7 + 1):
        rng = stream(seed, "campaigns", week)
        for _ in range(a_week):
            kind = KINDS[pick(rng, KIND_SHARES, 1)[0]]
            if kind == "new_arrivals" and 7 * week < NEW_ARRIVAL_DAYS:
                kind = "coupon"  # nothing has arrived yet
            starts = 7 * week + int(rng.integers(0, 7))
            covered = sorted(rng.choice(leaves, size=int(rng.integers(1, 4)), replace=False).tolist())
            made.append(
                Campaign(
                    number=len(made) + 1,
                    kind=kind,
                    channel=CHANNELS[int(rng.integers(len(CHANNELS)))],
                    starts=starts,
                    ends=starts + int(rng.integers(4, 10)),
                    leaves=tuple(range(leaves)) if kind == "new_arrivals" else tuple(covered),
                    discount=round(float(rng.uniform(0.08, 0.25)), 2) if kind == "discount" else 0.0,
                    strength=float(rng.uniform(0.6, 1.4)),
                    language="zh" if rng.random() < 0.6 else "en",
                )
            )
    return tuple(made)

"""What comes after a purchase: how content the buyer is, and so returns, ratings and reviews days later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feeds.simulated.catalogue import Catalogue
from feeds.simulated.event_rows import RATING, RETURN, EventRows, event_rows
from feeds.simulated.history import History
from feeds.simulated.people import STAGES, Shard
from feeds.simulated.randomness import stream
from feeds.simulated.words import LANGUAGES, vocabulary

LONGEST_WAIT = 12
RETURN_WAIT, REVIEW_WAIT = (2, 8), (3, LONGEST_WAIT)
REVIEW_SHARE, RATING_SHARE = 0.2, 0.25
RETURN_BASE, RETURN_PER_STAR = 0.03, 0.1  # chance of a return, and more for each star below three
QUALITY_STARS, TASTE_STARS, LUCK_STARS = 0.6, 1.1, 0.9


@dataclass(frozen=True)
class Aftermath:
    """What the purchases of one day lead to: row j is one purchase by a known user; a due day of -1 is never."""

    user: np.ndarray
    item: np.ndarray
    quantity: np.ndarray
    price: np.ndarray
    stars: np.ndarray
    return_due: np.ndarray
    rating_due: np.ndarray
    review_due: np.ndarray


def aftermath(history: History, day: int) -> Aftermath:
    """Draw what the purchases of `day` lead to."""
    catalogue, shard, visits = history.catalogue, history.shard, history.visits(day)
    rng = stream(shard.seed, "aftermath", shard.index, day)
    known = np.flatnonzero(~visits.is_anonymous[visits.visit])
    user, item = visits.user[visits.visit[known]], visits.item[known]
    match = (shard.taste[user] * catalogue.vector[item]).sum(axis=1)
    content = (
        3.6
        + QUALITY_STARS * catalogue.quality[item]
        + TASTE_STARS * (match - 0.4)
        + LUCK_STARS * rng.standard_normal(len(user))
    )
    stars = np.clip(np.rint(content), 1, 5)
    chance = rng.random((3, len(user)))
    returned = chance[0] < RETURN_BASE + RETURN_PER_STAR * np.maximum(3 - stars, 0)
    review_due = day + rng.integers(REVIEW_WAIT[0], REVIEW_WAIT[1] + 1, len(user))
    return_due = day + rng.integers(RETURN_WAIT[0], RETURN_WAIT[1] + 1, len(user))
    return Aftermath(
        user=user,
        item=item,
        quantity=history.quantities(day)[known],
        price=catalogue.today(day).price[item],
        stars=stars,
        return_due=np.where(returned, return_due, -1),
        rating_due=np.where(chance[1] < RATING_SHARE, review_due, -1),
        review_due=np.where(chance[2] < REVIEW_SHARE, review_due, -1),
    )


def later_events(history: History, recent: Sequence[Aftermath], day: int) -> list[EventRows]:
    """Return the returns and ratings of `day`; `recent` is the aftermath of the LONGEST_WAIT days before."""
    rng = stream(history.shard.seed, "later events", history.shard.index, day)
    gone = history.shard.stage(day) == STAGES.index("gone")
    parts = []
    for after in recent:
        for type_, due in ((RETURN, after.return_due), (RATING, after.rating_due)):
            rows = np.flatnonzero((due == day) & ~gone[after.user])
            is_return = type_ == RETURN
            parts.append(
                event_rows(
                    len(rows),
                    millisecond=rng.integers(0, 86_400_000, len(rows)),
                    visitor=after.user[rows],
                    type=np.full(len(rows), type_),
                    item=after.item[rows],
                    platform=history.shard.platform[after.user[rows]],
                    **(
                        {"quantity": after.quantity[rows], "price": after.price[rows]}
                        if is_return
                        else {"stars": after.stars[rows]}
                    ),
                )
            )
    return parts


@dataclass(frozen=True)
class Review:
    """One review, its second counted from the day's midnight."""

    user: int
    item: int
    second: int
    stars: float
    text: str


def reviews(history: History, recent: Sequence[Aftermath], day: int) -> list[Review]:
    """Return the reviews written on `day`, in order of time; `recent` as for `later_events`."""
    rng = stream(history.shard.seed, "reviews", history.shard.index, day)
    gone = history.shard.stage(day) == STAGES.index("gone")
    written = []
    for after in recent:
        for row in np.flatnonzero((after.review_due == day) & ~gone[after.user]).tolist():
            user, item, stars = int(after.user[row]), int(after.item[row]), float(after.stars[row])
            text = review_text(rng, history.catalogue, history.shard, user, item, stars)
            written.append(Review(user, item, int(rng.integers(0, 86_400)), stars, text))
    return sorted(written, key=lambda review: (review.second, review.user, review.item))


def review_text(
    rng: np.random.Generator, catalogue: Catalogue, shard: Shard, user: int, item: int, stars: float
) -> str:
    """Return what the buyer writes, in the buyer's language: its tone follows the stars."""
    words, language = vocabulary(), LANGUAGES[shard.language[user]]
    leaf = words.leaves[catalogue.leaf[item]]
    sentences = words.reviews[language]
    tone = sentences["good" if stars >= 4 else "middling" if stars == 3 else "bad"]
    chosen = [tone[index] for index in rng.choice(len(tone), size=int(rng.integers(1, 4)), replace=False)]
    if stars >= 4 and rng.random() < 0.4:
        chosen.append(sentences["style"][int(rng.integers(len(sentences["style"])))])
    style = words.styles[catalogue.style[item, 0]][language][0]
    noun = leaf.noun[language] if language == "zh" else leaf.noun[language].lower()
    brand = words.brands[catalogue.brand[item]]
    text = ("" if language == "zh" else " ").join(chosen)
    return text.format(noun=noun, brand=brand, style=style if language == "zh" else style.lower())

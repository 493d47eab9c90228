"""How a user chooses: dear or cheap, on offer or not, new or proven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.portraits.affinities import decayed, last_time
from ml.portraits.belief import HALF_LIFE, Belief, Drawn, fading_belief
from ml.portraits.evidence import Evidence, Goods
from ml.portraits.shrink import drawn, size_of_means, size_of_shares

BELOW_USUAL = 0.05  # a price is a bargain from this share under the usual one on
NEW_DAYS = 30  # an item is new to the catalogue for so long
LOW_UP_TO, HIGH_FROM = 0.4, 0.6  # price levels in words


@dataclass(frozen=True)
class Leaning:
    """One number a user, 0 to 1, drawn to everyone's mean; nan without evidence."""

    value: np.ndarray
    everyone: float
    size: float
    evidence: np.ndarray
    count: np.ndarray
    first: np.ndarray
    last: np.ndarray


def lean(trait: str, user: np.ndarray, time: np.ndarray, x: np.ndarray, n_users: int, is_share: bool) -> Leaning:
    """Estimate each user's mean of `x`, drawn to everyone's, recent rows counting more.

    Args:
        trait: key of HALF_LIFE.
        user: position of each row's user.
        time: when, in days.
        x: 0 to 1; only 0 or 1 where `is_share`.
        n_users: users in all.
        is_share: whether rows are yes or no (beta-binomial prior) or measures (normal prior).

    """
    n = np.bincount(user, minlength=n_users).astype(float)
    total = np.bincount(user, x, n_users)
    some = n > 0
    mean = float(x.mean()) if len(x) else np.nan
    if is_share:
        size = size_of_shares(np.stack([total[some], (n - total)[some]], axis=1), np.array([mean, 1 - mean]))
    else:
        own = np.divide(total, n, out=np.zeros(n_users), where=some)
        several = n[user] >= 2
        freedom = float((n[n >= 2] - 1).sum())
        within = float(((x - own[user])[several] ** 2).sum() / freedom) if freedom else 0.0
        size = size_of_means(own[some], n[some], within)
    weight = decayed(user, time, n_users, HALF_LIFE[trait])
    evidence = np.bincount(user, weight, n_users)
    value = np.where(some, drawn(np.bincount(user, weight * x, n_users), evidence, mean, size), np.nan)
    first, last = -last_time(user, -time, n_users), last_time(user, time, n_users)
    return Leaning(value, mean, size, evidence, n.astype(np.int64), first, last)


def price_places(goods: Goods) -> np.ndarray:
    """Return where each item's price stands among those of its own shelf (category_path), 0 cheapest, 1 dearest.

    The mid-rank share; 0.5 where it is alone, nan without a price or shelf.
    """
    place = np.full(len(goods.price), np.nan)
    there = np.flatnonzero(np.isfinite(goods.price) & (goods.shelf != ""))
    order = there[np.lexsort((goods.price[there], goods.shelf[there].astype(str)))]
    shelf, price = goods.shelf[order].astype(str), goods.price[order]
    starts = np.flatnonzero(np.r_[True, shelf[1:] != shelf[:-1]]) if len(order) else np.zeros(0, dtype=np.int64)
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        low = np.searchsorted(price[start:end], price[start:end], side="left")
        high = np.searchsorted(price[start:end], price[start:end], side="right")
        place[order[start:end]] = (low + high) / 2 / (end - start)
    return place


def price_level(evidence: Evidence) -> Leaning:
    """Where what a user buys stands among the prices of its shelf."""
    actions = evidence.actions
    place = price_places(evidence.goods)[actions.item]
    # An item counts once a user, at its last purchase: buying it again is no second choice of a price.
    rows = np.flatnonzero(actions.is_purchase & np.isfinite(place))[::-1]
    _, last = np.unique(
        actions.user[rows] * np.int64(len(evidence.goods.item_ids)) + actions.item[rows], return_index=True
    )
    rows = np.sort(rows[last])
    return lean("price_level", actions.user[rows], actions.time[rows], place[rows], len(evidence.people), False)


def bargain_seeking(evidence: Evidence) -> Leaning:
    """The share of purchase lines at a price below the item's usual one, where both are known."""
    actions = evidence.actions
    rows = actions.is_purchase & (actions.unit_price > 0) & (actions.usual_price > 0)
    below = actions.unit_price[rows] <= (1 - BELOW_USUAL) * actions.usual_price[rows]
    return lean(
        "bargain_seeking", actions.user[rows], actions.time[rows], below.astype(float), len(evidence.people), True
    )


def novelty_seeking(evidence: Evidence) -> Leaning:
    """The share of the items acted on, once each, that had been in the catalogue for NEW_DAYS at the most.

    Items that are as old as the record say nothing: nobody knows when they were new.
    """
    actions = evidence.actions
    begin = np.floor(actions.time.min()) if len(actions.time) else 0.0
    born = evidence.goods.created[actions.item]
    rows = np.flatnonzero((actions.weight > 0) & np.isfinite(born))
    _, once = np.unique(
        actions.user[rows] * np.int64(len(evidence.goods.item_ids)) + actions.item[rows], return_index=True
    )
    rows = rows[np.sort(once)]
    age = actions.time[rows] - born[rows]
    new = (age >= -1) & (age <= NEW_DAYS) & (born[rows] > begin)
    return lean(
        "novelty_seeking", actions.user[rows], actions.time[rows], new.astype(float), len(evidence.people), True
    )


def price_word(level: float) -> str:
    """Return low, middle or high for a price level."""
    return "low" if level < LOW_UP_TO else "high" if level > HIGH_FROM else "middle"


def leaning_belief(trait: str, leaning: Leaning, evidence: Evidence, said: tuple[str, str]) -> Belief:
    """Return a leaning as beliefs; `said` names the n observations in English and Chinese."""
    user = np.flatnonzero(np.isfinite(leaning.value))
    value, count = leaning.value[user], leaning.count[user]
    word: Callable[[float], str] = price_word if trait == "price_level" else lambda share: f"{share:.2f}"

    def words(row: int) -> tuple[str, str]:
        own, all_, n = f"{value[row]:.2f}", f"{leaning.everyone:.2f}", count[row]
        return (
            f"{own} from {n} {said[0]}, drawn to everyone's {all_}",
            f"由{n}{said[1]}得出{own}，并向全店的{all_}收缩",
        )

    return fading_belief(
        trait, user, "all", np.array([word(float(v)) for v in value], dtype=object), value,
        leaning.evidence[user], (leaning.first[user], leaning.last[user]), count, evidence.end_of_day, words,
        fading=Drawn(HALF_LIFE[trait], leaning.size), source="model",
    )  # fmt: skip

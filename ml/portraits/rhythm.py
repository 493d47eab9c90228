"""How often a user orders, and when the next order is due.

Orders are Poisson given the user's rate, rates are gamma distributed over users: the rate is (shape + order
days) / (rate + days known), drawn to everyone's where there are few. Gaps are gamma distributed too, as regular
as the user's own have been, drawn to the shop's: a shape of 1 is pure chance, more is more regular (Platzer and
Reutterer, "Ticking away the moments", 2016). From that follows how sure it is that the next order comes close to
its day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import gammainc

from ml.portraits.affinities import decayed, last_time
from ml.portraits.belief import FADING, FLOOR, Belief, fading_belief
from ml.portraits.evidence import Evidence
from ml.portraits.habits import Seen
from ml.portraits.presence import Presence
from ml.portraits.shrink import gamma_of_rates

CLOSE = 0.5  # of a gap: an order so near to its day, on either side, came when it was due
REGULARITY_GAPS = 5.0  # gaps' worth of the shop's regularity beside the user's own
LEAST_SHAPE, MOST_SHAPE = 0.5, 20.0
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Rhythm:
    """By user: days between order days (nan without an order) and their regularity; order days and their span."""

    gap: np.ndarray
    regularity: np.ndarray
    everyones_gap: float
    first: np.ndarray
    last: np.ndarray
    orders: np.ndarray
    evidence: np.ndarray

    @property
    def due(self) -> np.ndarray:
        """Day, since 1970-01-01, by which the next order is due; nan without an order."""
        return np.floor(self.last) + np.ceil(self.gap)


def rhythm(evidence: Evidence, active: Seen) -> Rhythm:
    """Estimate everybody's days between orders from what has happened: silence since does not change them."""
    actions, n = evidence.actions, len(evidence.people)
    bought = actions.is_purchase
    days = np.stack([actions.user[bought], np.floor(actions.time[bought]).astype(np.int64)], axis=1)
    pair = np.unique(days, axis=0)
    user, day = pair[:, 0], pair[:, 1].astype(float)
    orders = np.bincount(user, minlength=n).astype(float)
    # Time known: from the first to the last day seen one interval is missing, and of who came once all is.
    seen = active.days > 0
    span = np.where(seen, active.last - active.first, 0.0)
    visits, per_visit = gamma_of_rates(active.days[seen] - 1.0, span[seen])
    known = active.days * (span + per_visit) / np.maximum(active.days - 1.0 + visits, 0.1)
    shape, per_day = gamma_of_rates(orders[known > 0], known[known > 0])
    gap = np.where(orders > 0, (per_day + known) / (shape + orders), np.nan)
    first, last = -last_time(user, -day, n), last_time(user, day, n)
    weight = np.bincount(user, decayed(user, day, n, FADING["purchase_rhythm"].half_life), n)
    nothing = orders == 0
    return Rhythm(
        gap, _regularity(user, day, n), per_day / shape, np.where(nothing, np.nan, first),
        np.where(nothing, np.nan, last), orders, weight,
    )  # fmt: skip


def _regularity(user: np.ndarray, day: np.ndarray, n: int) -> np.ndarray:
    """Return the gamma shape of each user's gaps: 1 over their squared coefficient of variation."""
    same = user[1:] == user[:-1]
    owner, gaps = user[1:][same], np.diff(day)[same]
    count = np.bincount(owner, minlength=n).astype(float)
    mean = np.bincount(owner, gaps, n) / np.maximum(count, 1.0)
    squares = np.bincount(owner, (gaps / np.maximum(mean, 1e-9)[owner] - 1.0) ** 2, n)
    freedom = np.maximum(count - 1.0, 0.0)
    of_shop = squares.sum() / freedom.sum() if freedom.sum() else 1.0
    own = (squares + REGULARITY_GAPS * of_shop) / (freedom + REGULARITY_GAPS)
    return np.clip(1.0 / np.maximum(own, 1e-9), LEAST_SHAPE, MOST_SHAPE)


def chance_close(gap: np.ndarray, regularity: np.ndarray, silence: np.ndarray) -> np.ndarray:
    """Return how likely the next order comes within CLOSE of its day, given `silence` days since the last."""

    def by(gaps: np.ndarray) -> np.ndarray:
        return np.asarray(gammainc(regularity, regularity * gaps))

    so_far = silence / gap
    not_yet = 1.0 - by(so_far)
    within = by(np.full_like(gap, 1.0 + CLOSE)) - by(np.maximum(so_far, 1.0 - CLOSE))
    return np.where(so_far < 1.0 + CLOSE, within / np.maximum(not_yet, 1e-12), 0.0)


def rhythm_beliefs(found: Rhythm, there: Presence, evidence: Evidence) -> list[Belief]:
    """Return purchase_rhythm, and next_purchase as long as it may still come when due."""
    user = np.flatnonzero(found.orders > 0)
    gap, orders, due = found.gap[user], found.orders[user].astype(np.int64), found.due[user]
    span = (found.first[user], found.last[user] + 1.0)
    silence = np.maximum(evidence.end_of_day - 1.0 - found.last[user], 0.0)
    close = chance_close(gap, found.regularity[user], silence)

    def words(row: int) -> tuple[str, str]:
        return (
            f"{orders[row]} order day(s), drawn to everyone's {found.everyones_gap:.0f} days between orders",
            f"{orders[row]}个下单日，并向全店平均的{found.everyones_gap:.0f}天间隔收缩",
        )

    def due_words(row: int) -> tuple[str, str]:
        days, percent = CLOSE * gap[row], round(100 * close[row])
        return (
            f"{orders[row]} order day(s); while the user comes, {percent}% sure within {days:.0f} day(s) of it",
            f"{orders[row]}个下单日；若仍来访，前后{days:.0f}天内下单的把握为{percent}%",
        )

    days = np.array([f"{g:.0f} days" for g in gap], dtype=object)
    dates = np.array([(_EPOCH + timedelta(days=int(d))).isoformat() for d in due], dtype=object)
    often = fading_belief(
        "purchase_rhythm", user, "all", days, gap, found.evidence[user], span, orders, evidence.end_of_day, words,
        source="model",
    )  # fmt: skip
    rule = FADING["next_purchase"]
    sure = rule.confidence(found.evidence[user], evidence.end_of_day - span[1]) * close
    sure = sure * np.nan_to_num(there.alive[user])
    following = Belief(
        "next_purchase", user, np.full(len(user), "all", dtype=object), dates,
        due - (evidence.end_of_day - 1.0), sure, "model", orders, span[0],
        np.ceil(found.last[user] + (1.0 + CLOSE) * gap) + 1.0, due_words,
    )  # fmt: skip
    return [often, following.kept(sure >= FLOOR)]

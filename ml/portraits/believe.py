"""From one day's evidence to everything that is believed of its users, before it is put in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.portraits.affinities import BRANDS, CATEGORIES, Shares, affinity_beliefs, shares_by
from ml.portraits.belief import FADING, Belief
from ml.portraits.evidence import Evidence
from ml.portraits.habits import Weekdays, hour_and_platform_beliefs, seen, weekday_belief, weekdays
from ml.portraits.leanings import Leaning, bargain_seeking, leaning_belief, novelty_seeking, price_level
from ml.portraits.presence import Presence, fit_presence
from ml.portraits.rhythm import Rhythm, rhythm, rhythm_beliefs
from ml.portraits.segment_words import Group
from ml.portraits.segments import Centroids, Segments, find_segments
from ml.portraits.sentiment import Judged, Mood, judge, user_mood
from ml.portraits.traits import cold_start_belief, lifecycle_belief, segment_belief

_OBSERVED = {
    "price_level": ("different item(s) bought", "件不同商品的购买"),
    "bargain_seeking": ("purchase line(s) with a known usual price", "笔平时价格已知的购买"),
    "novelty_seeking": ("different item(s) acted on", "件有过行为的商品"),
}


@dataclass(frozen=True)
class Believed:
    """What is believed of the users. `groups` are the segments, in the order that `segments.of_user` counts."""

    beliefs: list[Belief]
    segments: Segments
    groups: list[Group]
    rhythm: Rhythm
    weekdays: Weekdays
    presence: Presence
    leanings: dict[str, Leaning]
    judged: Judged
    mood: Mood


def believe(evidence: Evidence, earlier: Centroids | None) -> Believed:
    """Work everything out; linear in the actions, but for the segments, which look at a sample to be chosen."""
    n, actions, goods = len(evidence.people), evidence.actions, evidence.goods
    by = {
        "category": shares_by(goods.category, actions, n, FADING["category_affinity"].half_life),
        "brand": shares_by(goods.brand, actions, n, FADING["brand_affinity"].half_life),
    }
    leanings = {
        "price_level": price_level(evidence),
        "bargain_seeking": bargain_seeking(evidence),
        "novelty_seeking": novelty_seeking(evidence),
    }
    active, on = seen(evidence), weekdays(evidence)
    often = rhythm(evidence, active)
    there = fit_presence(active.first, active.last, active.days, evidence.end_of_day)
    values = {name: leaning.value for name, leaning in leanings.items()} | {"log_gap": np.log(often.gap)}
    weight, span = _evidence_of_taste(by["category"], n)
    dense = by["category"].matrix(n)
    segments = find_segments(
        {str(name): dense[:, k] for k, name in enumerate(by["category"].kinds)}, values, weight, earlier
    )
    judged = judge(evidence.reviews)
    mood = user_mood(judged, evidence)
    beliefs = [
        affinity_beliefs(by["category"], "category_affinity", CATEGORIES, evidence),
        affinity_beliefs(by["brand"], "brand_affinity", BRANDS, evidence),
        *(leaning_belief(name, leaning, evidence, _OBSERVED[name]) for name, leaning in leanings.items()),
        *rhythm_beliefs(often, there, evidence),
        weekday_belief(on, evidence),
        *hour_and_platform_beliefs(evidence),
        lifecycle_belief(evidence, active, there),
        cold_start_belief(evidence, active),
        segment_belief(segments, evidence, weight, span),
        mood.belief,
    ]
    return Believed(beliefs, segments, _groups(segments, by, values), often, on, there, leanings, judged, mood)


def _evidence_of_taste(shares: Shares, n: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return each user's evidence as of the last action, and the first and last day of it."""
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, shares.user, shares.first)
    np.maximum.at(last, shares.user, shares.last)
    return np.bincount(shares.user, shares.evidence, n), (first, last)


def _groups(segments: Segments, by: dict[str, Shares], leanings: dict[str, np.ndarray]) -> list[Group]:
    """Average each segment's shares and leanings beside everyone's, over the users who have any."""
    count, n = len(segments.ids), len(segments.of_user)
    users = np.bincount(segments.of_user, minlength=count)
    shares: list[dict[str, dict[str, tuple[float, float]]]] = [{} for _ in range(count)]
    for kind, found in by.items():
        there = np.zeros(n, dtype=bool)
        there[found.user] = True
        with_any = np.bincount(segments.of_user[there], minlength=count)
        cell = segments.of_user[found.user] * len(found.kinds) + found.kind
        sums = np.bincount(cell, found.share, count * len(found.kinds)).reshape(count, len(found.kinds))
        everyone = sums.sum(axis=0) / max(int(there.sum()), 1)
        for g in range(count):
            own = sums[g] / max(int(with_any[g]), 1)
            shares[g][kind] = {
                str(name): (float(a), float(b)) for name, a, b in zip(found.kinds, own, everyone, strict=True)
            }
    of_group: list[dict[str, tuple[float, float, float]]] = [{} for _ in range(count)]
    for name, values in leanings.items():
        known = np.isfinite(values)
        everyone_mean = float(values[known].mean()) if known.any() else np.nan
        spread = float(values[known].std()) if known.any() else 0.0
        for g in range(count):
            own_values = values[known & (segments.of_user == g)]
            own_mean = float(own_values.mean()) if len(own_values) else np.nan
            of_group[g][name] = (own_mean, everyone_mean, spread)
    return [Group(str(segments.ids[g]), int(users[g]), shares[g], of_group[g]) for g in range(count)]

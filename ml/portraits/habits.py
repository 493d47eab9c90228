"""When and where a user shops: weekday, hour, platform, active days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.portraits.affinities import decayed, last_time
from ml.portraits.belief import FADING, HALF_LIFE, Belief, Drawn, fading_belief
from ml.portraits.evidence import PLATFORM_UNKNOWN, ActiveHours, Evidence
from ml.portraits.shrink import size_of_shares

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOUR_REACH = 2  # hours on either side of the usual one that count as usual


@dataclass(frozen=True)
class Seen:
    """When each user was active: first and last day, how many days; nan and 0 for never."""

    first: np.ndarray
    last: np.ndarray
    days: np.ndarray


def _new_day(hours: ActiveHours) -> np.ndarray:
    """Say of each hour whether it is the first of a user's day, as the shop's time zone has days."""
    new_day = np.ones(len(hours.user), dtype=bool)
    new_day[1:] = (hours.user[1:] != hours.user[:-1]) | (hours.local_day[1:] != hours.local_day[:-1])
    return new_day


def seen(evidence: Evidence) -> Seen:
    """Count each user's active days of the last 365."""
    hours, n = evidence.hours, len(evidence.people)
    new_day = _new_day(hours)
    first = -last_time(hours.user, -hours.day, n)
    last = last_time(hours.user, hours.day, n)
    days = np.bincount(hours.user[new_day], minlength=n).astype(float)
    return Seen(np.where(days > 0, first, np.nan), np.where(days > 0, last, np.nan), days)


@dataclass(frozen=True)
class Weekdays:
    """Shares of active days by weekday, users x 7, drawn to everyone's; how much the prior is worth."""

    shares: np.ndarray
    favorite: np.ndarray
    evidence: np.ndarray
    size: float


def weekdays(evidence: Evidence) -> Weekdays:
    """Estimate on which weekday each user is active: Dirichlet-multinomial, active days count once each."""
    hours, n = evidence.hours, len(evidence.people)
    new_day = _new_day(hours)
    user, day = hours.user[new_day], hours.local_day[new_day]
    weekday = (day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    plain = np.bincount(user * 7 + weekday, minlength=n * 7).reshape(n, 7).astype(float)
    everyone = plain.sum(axis=0) / max(plain.sum(), 1.0)
    if not plain.sum():
        everyone = np.full(7, 1 / 7)
    size = size_of_shares(plain, everyone)
    weight = decayed(user, day, n, HALF_LIFE["active_weekday"])
    counts = np.bincount(user * 7 + weekday, weight, n * 7).reshape(n, 7)
    total = counts.sum(axis=1)
    shares = (counts + size * everyone) / (total + size)[:, None]
    return Weekdays(shares, shares.argmax(axis=1), total, size)


def weekday_belief(found: Weekdays, evidence: Evidence) -> Belief:
    """Return active_weekday; how sure goes by how much weekdays tell users of this shop apart at all."""
    active = seen(evidence)
    user = np.flatnonzero(active.days > 0)
    favorite, days = found.favorite[user], active.days[user].astype(np.int64)
    strength = found.shares[user, favorite]

    def words(row: int) -> tuple[str, str]:
        percent, n = round(100 * strength[row]), days[row]
        return (
            f"{percent}% of {n} active days, drawn to everyone's weekdays",
            f"占{n}个活跃日的{percent}%，并向全店的星期分布收缩",
        )

    return fading_belief(
        "active_weekday", user, "all", np.array(WEEKDAYS, dtype=object)[favorite], strength, found.evidence[user],
        (active.first[user], active.last[user] + 1.0), days, evidence.end_of_day, words,
        fading=Drawn(HALF_LIFE["active_weekday"], found.size), source="model",
    )  # fmt: skip


def hour_and_platform_beliefs(evidence: Evidence) -> list[Belief]:
    """Return active_hour and platform: the user's most frequent ones, with their share of the active hours."""
    hours, people = evidence.hours, evidence.people
    away = np.abs(hours.hour - np.nan_to_num(people.active_hour, nan=-99.0)[hours.user])
    near = np.minimum(away, 24 - away) <= HOUR_REACH
    hour_text = np.array([f"{int(np.nan_to_num(h)):02d}:00" for h in people.active_hour], dtype=object)
    same = hours.platform == people.platform[hours.user]
    named = (people.platform != "") & (people.platform != PLATFORM_UNKNOWN)
    return [
        _most_frequent("active_hour", near, hour_text, np.isfinite(people.active_hour), evidence,
                       (f"of {{n}} active hours within {HOUR_REACH} hours of it",
                        f"的活跃时段（共{{n}}个）在其前后{HOUR_REACH}小时内")),
        _most_frequent("platform", same, people.platform, named, evidence,
                       ("of {n} active hours on it", "的活跃时段（共{n}个）在该平台")),
    ]  # fmt: skip


def _most_frequent(
    trait: str, fits: np.ndarray, value: np.ndarray, known: np.ndarray, evidence: Evidence, said: tuple[str, str]
) -> Belief:
    hours, n = evidence.hours, len(evidence.people)
    # The UTC day with the local hour: up to a day off, which only ages feel, and never after the as-of date.
    time = hours.day + hours.hour / 24
    weight = decayed(hours.user, time, n, FADING[trait].half_life)
    total, fitting = np.bincount(hours.user, weight, n), np.bincount(hours.user, weight * fits, n)
    user = np.flatnonzero(known & (total > 0))
    share, count = fitting[user] / total[user], np.bincount(hours.user, minlength=n)[user]
    first, last = -last_time(hours.user, -time, n)[user], last_time(hours.user, time, n)[user]

    def words(row: int) -> tuple[str, str]:
        percent = round(100 * share[row])
        return f"{percent}% {said[0].format(n=count[row])}", f"{percent}%{said[1].format(n=count[row])}"

    return fading_belief(
        trait,
        user,
        "all",
        value[user],
        share,
        fitting[user],
        (first, last + 1 / 24),
        count,
        evidence.end_of_day,
        words,
    )

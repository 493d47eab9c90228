"""All traits of all users: what `user_traits` and the texts are made of, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.portraits.belief import FADING, FLOOR, Belief, fading_belief
from ml.portraits.evidence import Evidence
from ml.portraits.habits import Seen
from ml.portraits.portrait_text import Trait
from ml.portraits.presence import Presence
from ml.portraits.segments import Segments

SHARD_USERS = 20_000
_MICROSECONDS = 86_400_000_000


def _known_from(evidence: Evidence, active: Seen) -> np.ndarray:
    """Return the first active day; of who was never seen the day of registration, else the as-of day."""
    registered = np.where(
        np.isfinite(evidence.people.registered), evidence.people.registered, evidence.end_of_day - 1.0
    )
    return np.where(np.isfinite(active.first), active.first, np.minimum(registered, evidence.end_of_day - 1.0))


def lifecycle_belief(evidence: Evidence, active: Seen, there: Presence) -> Belief:
    """Return lifecycle_stage: the rule's stage, with the chance that it is so.

    Stages of who comes are as sure as that the user still comes; at_risk and dormant as sure as that he does not.
    Who was never seen is a visitor of whom nothing is known.
    """
    people = evidence.people
    stage = people.lifecycle_stage
    known = np.isfinite(there.silence)
    alive = np.where(known, np.nan_to_num(there.alive), 0.0)
    leaving = np.isin(stage, ("at_risk", "dormant"))
    confidence = np.where(leaving, np.where(known, 1.0 - alive, 0.0), alive)
    # Told of everybody every day: what has faded already stands until the day is over.
    until = np.maximum(active.last + 1.0 + there.days_until(FLOOR), evidence.end_of_day)
    until = np.where(known & ~leaving, until, np.nan)
    count = active.days.astype(np.int64)
    first = _known_from(evidence, active)

    def words(row: int) -> tuple[str, str]:
        if not known[row]:
            return "no action on record", "没有行为记录"
        days, span, silent = count[row], int(there.span[row]) + 1, int(there.silence[row])
        return (
            f"stage by orders; visits: on {days} of {span} days, none for {silent} since; "
            f"{100 * alive[row]:.0f}% sure that the user still comes",
            f"阶段按订单划分；来访：{span}天中有{days}天，此后{silent}天未来；"
            f"仍会来访的把握为{100 * alive[row]:.0f}%",
        )

    n = len(people)
    return Belief(
        "lifecycle_stage", np.arange(n), np.full(n, "all", dtype=object), stage, np.full(n, np.nan), confidence,
        "measured", count, first, until, words,
    )  # fmt: skip


def cold_start_belief(evidence: Evidence, active: Seen) -> Belief:
    """Return cold_start: whether there are too few actions to go by; a count, so nothing in it is unsure."""
    n = len(evidence.people)
    actions = np.bincount(evidence.hours.user, evidence.hours.actions, n).astype(np.int64)
    first = _known_from(evidence, active)

    def words(row: int) -> tuple[str, str]:
        return f"{actions[row]} action(s) in the last 365 days", f"近365天内有{actions[row]}次行为"

    return Belief(
        "cold_start", np.arange(n), np.full(n, "all", dtype=object),
        np.where(evidence.people.is_cold_start, "yes", "no").astype(object),
        evidence.people.is_cold_start.astype(float), np.ones(n), "measured", actions, first, np.full(n, np.nan),
        words,
    )  # fmt: skip


def segment_belief(
    segments: Segments, evidence: Evidence, weight: np.ndarray, span: tuple[np.ndarray, np.ndarray]
) -> Belief:
    """Return taste_segment; newcomers have none until there is something to go by.

    `weight` and `span` are each user's evidence on the last day of it, and its first and last day.
    """
    user = np.flatnonzero(segments.ids[segments.of_user] != segments.ids[-1])
    formed = segments.is_former[user]
    amount = weight[user]
    half_life = f"{FADING['taste_segment'].half_life:g}"

    def words(row: int) -> tuple[str, str]:
        return (
            f"{amount[row]:.0f} views' worth of actions, halved in {half_life} days; "
            + ("one of those that form it" if formed[row] else "nearest to it"),
            f"相当于{amount[row]:.0f}次浏览的行为（每{half_life}天减半），"
            + ("参与聚类" if formed[row] else "归入最近的群体"),
        )

    return fading_belief(
        "taste_segment", user, "all", segments.ids[segments.of_user[user]], np.full(len(user), np.nan), amount,
        (span[0][user], span[1][user]), np.ceil(amount).astype(np.int64), evidence.end_of_day, words,
        source="model",
    )  # fmt: skip


@dataclass(frozen=True)
class TraitRows:
    """Traits of users [start, end): columns of user_traits, and the same as rows by user."""

    start: int
    end: int
    columns: dict[str, Any]
    of_user: list[list[Trait]]


def shards(beliefs: list[Belief], user_ids: np.ndarray, size: int = SHARD_USERS) -> Iterator[TraitRows]:
    """Yield the traits of `size` users at a time, in the order of user_traits' key."""
    for start in range(0, len(user_ids), size):
        end = min(start + size, len(user_ids))
        yield _shard(beliefs, user_ids, start, end)


def _shard(beliefs: list[Belief], user_ids: np.ndarray, start: int, end: int) -> TraitRows:
    rows: list[tuple[int, str, str, Belief, int]] = []
    for belief in beliefs:
        low, high = np.searchsorted(belief.user, (start, end))
        rows += [(int(belief.user[r]), belief.trait, str(belief.subject[r]), belief, r) for r in range(low, high)]
    rows.sort(key=lambda row: row[:3])
    of_user: list[list[Trait]] = [[] for _ in range(end - start)]
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *(
                "user_id",
                "trait",
                "subject",
                "value",
                "strength",
                "confidence",
                "source",
                "evidence",
                "evidence_zh",
            ),
            *("evidence_count", "valid_from_at", "valid_to_at"),
        )
    }
    for user, trait, subject, belief, r in rows:
        strength = float(belief.strength[r])
        told = round(strength, 9) if np.isfinite(strength) else None
        confidence = round(float(np.clip(belief.confidence[r], 0.0, 1.0)), 9)
        english, chinese = belief.words(r)
        until = belief.until[r]
        values = (
            user_ids[user], trait, subject, str(belief.value[r]), told, confidence, belief.source, english,
            chinese, int(belief.count[r]), int(belief.first[r] * _MICROSECONDS),
            int(until * _MICROSECONDS) if np.isfinite(until) else None,
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
        of_user[user - start].append(Trait(trait, subject, str(belief.value[r]), told, confidence))
    return TraitRows(start, end, columns, of_user)

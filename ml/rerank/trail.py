"""From a block's pools and lists to `Moves`: which rule moved what, each rule told only of what it did itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.rerank.greedy import Bound, Constraints
from ml.rerank.moves import DOWN, INSERTED, NO_RANK, REMOVED, UP, Moves, rows
from ml.rerank.rules import Rules
from ml.rerank.settings import POOL_LENGTH


@dataclass(frozen=True)
class Before:
    """Pools, users x candidates: items by score, log relevance with boosts, their factors, blocks, times shown."""

    users: np.ndarray
    items: np.ndarray
    relevance: np.ndarray
    factor: np.ndarray
    blocked: np.ndarray
    shown: np.ndarray
    rules: Rules


@dataclass(frozen=True)
class After:
    """Lists, users x places (`column`, `is_drawn`, `count` of candidates drawn from, `pinned` columns), and why.

    `kept_by` is users x candidates, the bound that kept each away; `alike` how alike the candidates are.
    """

    column: np.ndarray
    kept_by: np.ndarray
    is_drawn: np.ndarray
    count: np.ndarray
    pinned: np.ndarray
    alike: np.ndarray


def _ranks_within(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return each counting cell's rank from 1, largest first, among those of its row; else NO_RANK."""
    order = np.argsort(np.where(counts, -values, np.inf), axis=1, kind="stable")
    ranks = np.empty(values.shape, dtype=np.int64)
    np.put_along_axis(ranks, order, np.arange(1, values.shape[1] + 1)[None, :], axis=1)
    return np.where(counts, ranks, NO_RANK)


def _at_places(values: np.ndarray, column: np.ndarray, shape: tuple[int, ...], fill: float) -> np.ndarray:
    """Turn values of list places (users x places) into values of candidates (users x candidates)."""
    found = np.full(shape, fill)
    user, place = np.nonzero(column >= 0)
    found[user, column[user, place]] = values[user, place]
    return found


def _nearest_above(after: After, n: int) -> np.ndarray:
    """Return users x candidates: likeness to the nearest item above its place; to any of the list without one."""
    n_users, length = after.column.shape
    nearest = np.zeros((n_users, n))
    found = np.zeros((n_users, n))
    for place in range(length):
        there = np.flatnonzero(after.column[:, place] >= 0)
        here = after.column[there, place]
        found[there, here] = nearest[there, here]
        nearest[there] = np.maximum(nearest[there], after.alike[there, here])
    listed = _at_places(np.ones(after.column.shape), after.column, (n_users, n), 0.0) > 0
    return np.where(listed, found, nearest)


def told(before: Before, after: After, bounds: Constraints) -> Moves:
    """Return the rows of a block.

    Ranks before are places by score in the pool, none for what is in it by a rule alone. An item that only made
    room for another has no row: a rule answers for what it moved.
    """
    shape, length = before.items.shape, after.column.shape[1]
    there = np.isfinite(before.relevance)
    places = np.broadcast_to(np.arange(1, length + 1), after.column.shape)
    rank = _at_places(places, after.column, shape, NO_RANK).astype(np.int64)
    by_score = np.cumsum(there, axis=1)
    by_score = np.where(there & (by_score <= POOL_LENGTH), by_score, NO_RANK)
    is_listed = rank > 0
    drawn = _at_places(np.where(after.is_drawn, after.count, 0), after.column, shape, 0.0)
    is_pinned = np.zeros(shape, dtype=bool)
    user, place = np.nonzero(after.pinned >= 0)
    is_pinned[user, after.pinned[user, place]] = True

    def row(
        where: np.ndarray,
        rule: str,
        action: np.ndarray | int,
        *,
        shop_rule: np.ndarray | int = -1,
        figure: np.ndarray | float = 0.0,
    ) -> Moves:
        return rows(where, before.users, before.items, rule, action, by_score, rank, shop_rule, figure)

    item = np.maximum(before.items, 0)
    moved = np.where(is_listed, np.where((by_score > 0) & (rank > by_score), DOWN, UP), REMOVED)
    parts = [row(before.blocked, "blocked", REMOVED, shop_rule=before.rules.blocked_by[item])]
    pinned_by = np.full(len(before.rules.factor), -1)
    for _, pinned_item, number in before.rules.pins:
        pinned_by[pinned_item] = number
    entered = is_pinned & ((by_score == NO_RANK) | (by_score > length))
    parts.append(
        row(is_pinned, "pinned", np.where(entered, INSERTED, moved), shop_rule=pinned_by[item], figure=rank)
    )
    if (before.factor != 1.0).any():
        open_ = bounds.allowed
        plain = _ranks_within(-by_score.astype(float), open_)
        boosted = _ranks_within(before.relevance, open_)
        was_boosted = open_ & (before.factor != 1.0) & (plain != boosted)
        parts.append(
            row(was_boosted, "boosted", np.where(before.factor > 1.0, UP, DOWN),
                shop_rule=before.rules.boosted_by[item], figure=before.factor)
        )  # fmt: skip
    kept = np.where(is_listed, DOWN, REMOVED)
    for bound, rule in ((Bound.BRAND_CAP, "brand_cap"), (Bound.CATEGORY_CAP, "category_cap")):
        most = [cap.most for cap in bounds.caps if cap.bound == bound]
        parts += [row(after.kept_by == bound, rule, kept, figure=float(limit)) for limit in most]
    parts.append(row(after.kept_by == Bound.SEEN, "seen_too_often", kept, figure=before.shown))
    parts.append(row(after.kept_by == Bound.TAIL_SHARE, "tail_share", kept, figure=float(bounds.n_tail)))
    parts.append(row(drawn > 0, "exploration", INSERTED, figure=drawn))

    # Variety: places among the items that score and likeness alone decide on, with and without likeness.
    plain_choice = bounds.allowed & (after.kept_by == Bound.NONE) & ~is_pinned & (drawn == 0)
    wanted = _ranks_within(before.relevance, plain_choice)
    got = _ranks_within(-rank.astype(float), plain_choice & is_listed)
    n_chosen = got.max(axis=1, keepdims=True)
    left_out = plain_choice & ~is_listed & (wanted <= n_chosen)
    up, down = (got > 0) & (got < wanted), (got > wanted) & (got > 0)
    parts.append(
        row(up | down | left_out, "variety", np.select([up, down], [UP, DOWN], REMOVED),
            figure=_nearest_above(after, shape[1]))
    )  # fmt: skip
    return Moves.joined(parts)

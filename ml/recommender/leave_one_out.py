"""Why the learned recommender listed an item: what its score loses had the user not acted on another.

Each user is scored again without any action on one item, by the very model that made the list: blend, sequence
model, features, trees. Tried are the items that the blend names most often as evidence in the user's list, and the
latest one. Of those that the user liked, the one whose absence costs an item most is its reason. Where no absence
costs anything, popularity is, with what the item scores for somebody who never did anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.recommender.blend import (
    BUY_AGAIN,
    ITEM_TO_ITEM,
    POPULAR,
    SEQUENCE,
    SOURCES,
    TEXT,
    Blend,
    Evidence,
    RankedEvidence,
)
from ml.recommender.candidates import describe
from ml.recommender.dataset import ActionLog
from ml.recommender.history import History
from ml.recommender.learned import LearnedModel, Listed
from ml.recommender.recommend import users_together
from ml.recommender.sources import Sources

N_TRIED = 3  # items of each user, beside the latest
NOBODY = -1  # in the place of an item left out: all of them are


@dataclass(frozen=True)
class _Without:
    """Listed items' scores (users x length) without one item each, and the mixture's parts of them."""

    score: np.ndarray
    share: np.ndarray
    probability: np.ndarray


def without(log: ActionLog, row: np.ndarray, item: np.ndarray) -> ActionLog:
    """Return a log of len(row) users: user n did what `row[n]` did, but for `item[n]` (NOBODY: but for all)."""
    starts = np.concatenate(([0], np.cumsum(np.bincount(log.user, minlength=log.n_users))))
    length = (starts[1:] - starts[:-1])[row]
    user = np.repeat(np.arange(len(row)), length)
    place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + starts[row][user]
    kept = (log.item[place] != item[user]) & (item[user] != NOBODY)
    place, user = place[kept], user[kept]
    # A user's step is not to be taken for the next one's.
    step = log.step[place] + user * (int(log.step.max(initial=0)) + 1)
    return ActionLog(
        user, log.item[place], log.event[place], log.time[place], step, log.quantity[place], len(row), log.n_items
    )


def tried_items(evidence: Evidence, log: ActionLog) -> tuple[np.ndarray, np.ndarray]:
    """Return (row of the user, item) pairs to leave out, sorted: NOBODY once for each user."""
    cells = evidence.item >= 0
    row = np.broadcast_to(np.arange(len(cells))[:, None], cells.shape)[cells]
    pairs, named = np.unique(row * log.n_items + evidence.item[cells], return_counts=True)
    order = np.lexsort((pairs, -named, pairs // log.n_items))
    pairs = pairs[order]
    row = pairs // log.n_items
    place = np.arange(len(row)) - np.searchsorted(row, row)
    pairs = pairs[place < N_TRIED]
    counts = np.bincount(log.user, minlength=log.n_users)
    some = np.flatnonzero(counts)
    last = np.cumsum(counts)[some] - 1
    pairs = np.unique(np.concatenate([pairs, some * log.n_items + log.item[last]]))
    everyone = np.arange(len(cells))
    row = np.concatenate([pairs // log.n_items, everyone])
    item = np.concatenate([pairs % log.n_items, np.full(len(everyone), NOBODY)])
    order = np.lexsort((item, row))
    return row[order], item[order]


def _scored(
    model: LearnedModel, sources: Sources, listed: Listed, row: np.ndarray, item: np.ndarray
) -> Iterator[_Without]:
    """Yield the scores of the lists of users `row` without `item`, some at a time."""
    size = users_together(sources.log.n_items)
    for begin in range(0, len(row), size):
        some = slice(begin, begin + size)
        rows = row[some]
        scores = sources.scores_of(listed.users[rows], without(listed.sources.log, rows, item[some]))
        items = listed.candidates.items[rows]
        # Where each listed item stands among the candidates; the others are there to be ranked with.
        places = np.argmax(items[:, None, :] == listed.items[rows][:, :, None], axis=2)
        candidates = describe(sources, scores, model.weight, items, places=places)
        there = np.maximum(listed.items[rows], 0)
        yield _Without(
            model.score(candidates),
            np.take_along_axis(scores.log_share, there, axis=1),
            np.take_along_axis(scores.log_probability, there, axis=1),
        )


def _source_of(
    blend: Blend, past: np.ndarray, listed: np.ndarray, is_bought: np.ndarray, is_sequence: np.ndarray
) -> np.ndarray:
    """Return the source through which each item of the past spoke for the listed one; all of one shape."""
    related, alike = (
        np.asarray(part[past.ravel(), listed.ravel()]).reshape(past.shape)
        for part in (blend.item_to_item, blend.text)
    )
    return np.select(
        [(past == listed) & is_bought, past == listed, is_sequence, alike > related],
        [BUY_AGAIN, ITEM_TO_ITEM, SEQUENCE, TEXT],
        ITEM_TO_ITEM,
    )


def _was_bought(history: History, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Say for each (row of the user, item) whether the user bought the item."""
    bought = history.matrix(history.is_bought.astype(float))
    return np.asarray(bought[row, np.maximum(item, 0)]).ravel() > 0


def explain(model: LearnedModel, sources: Sources, listed: Listed) -> Evidence:
    """Say what each listed item owes to one item of the user's history: `from_item` is the fall of exp(score)."""
    n_users, length = listed.items.shape
    blend, history = sources.blend, listed.history
    segment = sources.segment[listed.users]
    there = np.maximum(listed.items, 0)
    named = blend.explain(history, segment, there)
    row, item = tried_items(named, listed.sources.log)
    parts = list(_scored(model, sources, listed, row, item))
    score, share, probability = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "share", "probability")
    )
    fall = np.where(listed.items[row] >= 0, listed.scores[row] - np.exp(score), 0.0)
    # What was dismissed or sent back may be missed, but nobody is shown a thing because of it.
    liked = np.asarray(history.matrix(history.interest)[row, np.maximum(item, 0)]).ravel() > 0
    fall[(item == NOBODY) | ~liked] = 0.0
    # Of each item left out and each listed item: through which source it spoke.
    share_fall = np.take_along_axis(listed.sources.log_share, there, axis=1)[row] - share
    sequence_fall = np.take_along_axis(listed.sources.log_probability, there, axis=1)[row] - probability
    past = np.broadcast_to(np.maximum(item, 0)[:, None], fall.shape)
    is_bought = np.broadcast_to(_was_bought(history, row, item)[:, None], fall.shape)
    is_sequence = model.weight * sequence_fall > (1 - model.weight) * share_fall
    source = _source_of(blend, past, there[row], is_bought, is_sequence)
    # The largest falls of each cell first; of equal ones that of the item whose id comes first.
    cell = (row[:, None] * length + np.arange(length)).ravel()
    order = np.lexsort((past.ravel(), -fall.ravel(), cell))
    ranked = RankedEvidence.of(
        (n_users, length),
        cell[order],
        *(values.ravel()[order] for values in (past, source, fall, is_bought)),
    )
    has_reason = ranked.item[:, :, 0] >= 0
    nothing = np.flatnonzero(item == NOBODY)
    source = np.where(has_reason, ranked.source[:, :, 0], POPULAR)
    by_source = np.zeros((n_users, length, len(SOURCES)))
    # Somebody without a past may be likelier to want it than the user is.
    without_past = np.minimum(np.exp(score[nothing]), listed.scores)
    from_item = np.where(has_reason, ranked.from_item[:, :, 0], without_past)
    np.put_along_axis(by_source, source[:, :, None], from_item[:, :, None], axis=2)
    own, everyone = blend.items.popularity.parts(segment, blend.settings.segment_share)
    is_own = np.take_along_axis(own, there, axis=1) >= np.take_along_axis(everyone, there, axis=1)
    return Evidence(by_source, source, ranked.item[:, :, 0], from_item, ranked.is_bought[:, :, 0], is_own, ranked)

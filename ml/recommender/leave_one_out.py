"""Why the learned recommender listed an item: what its score loses had the user not acted on another.

Each user is scored again without any action on one item, by the very model that made the list: blend, sequence
model, features, trees. Tried are the items that the blend names most often as evidence in the user's list, and the
latest one. The one whose absence costs an item most is its reason. Where no absence costs anything, popularity
is, with what the item scores for somebody who never did anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.recommender.blend import BUY_AGAIN, ITEM_TO_ITEM, POPULAR, SEQUENCE, SOURCES, TEXT, Evidence
from ml.recommender.candidates import describe
from ml.recommender.dataset import ActionLog
from ml.recommender.learned import LearnedModel, Listed
from ml.recommender.recommend import SHARD_CELLS
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
    size = max(1, SHARD_CELLS // sources.log.n_items)
    for begin in range(0, len(row), size):
        some = slice(begin, begin + size)
        rows = row[some]
        scores = sources.scores_of(listed.users[rows], without(listed.sources.log, rows, item[some]))
        candidates = describe(sources, scores, model.weight, listed.candidates.items[rows])
        # Where each listed item stands among the candidates.
        place = np.argmax(candidates.items[:, None, :] == listed.items[rows][:, :, None], axis=2)
        there = np.maximum(listed.items[rows], 0)
        yield _Without(
            np.take_along_axis(model.score(candidates), place, axis=1),
            np.take_along_axis(scores.log_share, there, axis=1),
            np.take_along_axis(scores.log_probability, there, axis=1),
        )


def explain(model: LearnedModel, sources: Sources, listed: Listed) -> Evidence:
    """Say what each listed item owes to one item of the user's history: `from_item` is the fall of exp(score)."""
    n_users, length = listed.items.shape
    blend, history = sources.blend, listed.history
    segment = sources.segment[listed.users]
    named = blend.explain(history, segment, np.maximum(listed.items, 0))
    row, item = tried_items(named, listed.sources.log)
    parts = list(_scored(model, sources, listed, row, item))
    score, share, probability = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "share", "probability")
    )
    fall = listed.scores[row] - np.exp(score)
    fall[item == NOBODY] = 0.0
    # The largest fall of each cell; of equal ones that of the item whose id comes first.
    starts = np.searchsorted(row, np.arange(n_users))
    largest = np.maximum.reduceat(fall, starts)
    is_best = fall >= largest[row]
    best = np.minimum.reduceat(np.where(is_best, np.arange(len(row))[:, None], len(row)), starts)
    has_reason = largest > 0
    there = np.maximum(listed.items, 0)
    past = np.maximum(item[best], 0)
    users = np.broadcast_to(np.arange(n_users)[:, None], best.shape)
    column = np.broadcast_to(np.arange(length), best.shape)
    share_fall = np.take_along_axis(listed.sources.log_share, there, axis=1) - share[best, column]
    sequence_fall = np.take_along_axis(listed.sources.log_probability, there, axis=1) - probability[best, column]
    is_sequence = model.weight * sequence_fall > (1 - model.weight) * share_fall
    is_bought = np.asarray(history.matrix(history.is_bought.astype(float))[users.ravel(), past.ravel()]) > 0
    is_bought = is_bought.reshape(best.shape)
    related, alike = (
        np.asarray(part[past.ravel(), there.ravel()]).reshape(best.shape)
        for part in (blend.item_to_item, blend.text)
    )
    source = np.select(
        [~has_reason, (past == there) & is_bought, past == there, is_sequence, alike > related],
        [POPULAR, BUY_AGAIN, ITEM_TO_ITEM, SEQUENCE, TEXT],
        ITEM_TO_ITEM,
    )
    nothing = np.flatnonzero(item == NOBODY)
    by_source = np.zeros((n_users, length, len(SOURCES)))
    # Somebody without a past may be likelier to want it than the user is.
    from_item = np.where(has_reason, largest, np.minimum(np.exp(score[nothing]), listed.scores))
    np.put_along_axis(by_source, source[:, :, None], from_item[:, :, None], axis=2)
    own, everyone = blend.items.popularity.parts(segment, blend.settings.segment_share)
    is_own = np.take_along_axis(own, there, axis=1) >= np.take_along_axis(everyone, there, axis=1)
    return Evidence(by_source, source, np.where(has_reason, past, -1), from_item, is_bought, is_own)

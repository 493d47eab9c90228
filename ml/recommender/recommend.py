"""Lists for many users, a shard at a time: users x items never stands in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.recommender.blend import Blend, Evidence, top_items
from ml.recommender.dataset import ActionLog
from ml.recommender.history import History, build_history
from ml.recommender.settings import LIST_LENGTH

SHARD_CELLS = 12_000_000  # users x items of one dense block: 100 MB
SHARD_ACTIONS = 150_000  # explained at once, each against the whole list


@dataclass(frozen=True)
class Shard:
    """Lists of some users: `users` are positions; `items` and `scores` are users x length, -1 past the end."""

    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    history: History


def shards_of(users: np.ndarray, actions_per_user: np.ndarray, n_items: int) -> Iterator[np.ndarray]:
    """Cut `users` into runs whose scores and whose explanations fit in memory."""
    by_size = np.arange(len(users)) // max(1, SHARD_CELLS // n_items)
    by_actions = np.cumsum(actions_per_user[users]) // SHARD_ACTIONS
    changes = (np.diff(by_size) != 0) | (np.diff(by_actions) != 0)
    yield from np.split(users, np.flatnonzero(changes) + 1) if len(users) else ()


def recommend(
    blend: Blend, log: ActionLog, segment: np.ndarray, users: np.ndarray, length: int = LIST_LENGTH
) -> Iterator[Shard]:
    """Yield the lists of `users` (sorted positions), shard by shard.

    Args:
        blend: the model; only actions before its as-of time are read.
        log: all users' actions.
        segment: each of the log's users' row in the blend's popularity.
        users: whom to serve.
        length: of a list.

    """
    log = log.before(blend.items.as_of)
    actions_per_user = np.bincount(log.user, minlength=log.n_users)
    for shard in shards_of(users, actions_per_user, log.n_items):
        history = build_history(log.of_users(shard), blend.items.as_of, blend.settings)
        items, scores = top_items(blend.score(history, segment[shard]), length)
        yield Shard(shard, items, scores, history)


def explain(blend: Blend, shard: Shard, segment: np.ndarray) -> Evidence:
    """Say where a shard's scores come from; `segment` is that of all the log's users."""
    return blend.explain(shard.history, segment[shard.users], shard.items)


def all_lists(
    blend: Blend, log: ActionLog, segment: np.ndarray, users: np.ndarray, length: int = LIST_LENGTH
) -> np.ndarray:
    """Return the lists of `users` as one array of item positions, -1 past a list's end."""
    shards = [shard.items for shard in recommend(blend, log, segment, users, length)]
    return np.concatenate(shards) if shards else np.zeros((0, length), dtype=np.int64)

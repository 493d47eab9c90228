"""Lists for many users, a shard at a time: users x items never stands in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ml.recommender.blend import Blend, Evidence, top_items
from ml.recommender.dataset import ActionLog
from ml.recommender.history import History, build_history
from ml.recommender.settings import LIST_LENGTH

#: Users x items of one dense block: 24 MB, of which there are some ten. Larger ones leave the processor's caches.
SHARD_CELLS = 3_000_000
SHARD_USERS = 8  # at least so many together, however large the catalogue: each shard has a price of its own
SHARD_ACTIONS = 150_000  # explained at once, each against the whole list


N_TOLD = 10  # items of `Pool.never` that are told of to a user


@dataclass(frozen=True)
class Pool:
    """Which items of a user are wanted: the best `length` by score, and what rules are about (item positions).

    Of `never` none may be shown: those that would stand in the pool are in it to be told of, beside `length`
    others. Those of `always` are in it too wherever the user may be shown them.
    """

    length: int = LIST_LENGTH
    never: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    always: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def has_rules(self) -> bool:
        """Whether there is more to it than a length."""
        return bool(len(self.never) or len(self.always))

    @property
    def width(self) -> int:
        """The most items that it can hold."""
        return self.length + (N_TOLD if len(self.never) else 0) + len(self.always)

    def cut(self, items: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep what is wanted of items sorted by score (users x n, -1 for none): users x at most `width`."""
        if not self.has_rules:
            return items[:, : self.length], scores[:, : self.length]
        there = (items >= 0) & np.isfinite(scores)
        is_never = np.isin(items, self.never)
        above = np.cumsum(there & ~is_never, axis=1)
        told = is_never & (above < self.length)
        told &= np.cumsum(told & there, axis=1) <= N_TOLD
        wanted = np.where(is_never, told, (above <= self.length) | np.isin(items, self.always)) & there
        order = np.argsort(~wanted, axis=1, kind="stable")[:, : self.width]
        kept = np.take_along_axis(wanted, order, axis=1)
        return (
            np.where(kept, np.take_along_axis(items, order, axis=1), -1),
            np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf),
        )

    def best(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what is wanted of all items, users x `width` or fewer, best first, and the scores there.

        Args:
            scores: users x all items, -inf where an item is barred. Ties go by position.

        """
        if not self.has_rules:
            return top_items(scores, self.length)
        open_ = scores.copy()
        open_[:, self.never] = -np.inf
        found = [top_items(open_, self.length)]
        for some, count in ((self.never, N_TOLD), (np.setdiff1d(self.always, self.never), len(self.always))):
            if len(some):
                columns, values = top_items(scores[:, some], count)
                items = np.where(columns >= 0, some[np.maximum(columns, 0)], -1)
                listed = (items[:, :, None] == found[0][0][:, None, :]).any(axis=2)
                found.append((np.where(listed, -1, items), np.where(listed, -np.inf, values)))
        items, values = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        order = np.lexsort((items, -values), axis=1)
        return self.cut(np.take_along_axis(items, order, axis=1), np.take_along_axis(values, order, axis=1))


@dataclass(frozen=True)
class Shard:
    """Pools or lists of some users: `users` are positions; `items`, `scores` are users x n, -1 past the end."""

    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    history: History


def users_together(n_items: int) -> int:
    """Return how many users' scores of all items stand in memory at once."""
    return max(SHARD_USERS, SHARD_CELLS // n_items)


def shards_of(users: np.ndarray, actions_per_user: np.ndarray, n_items: int) -> Iterator[np.ndarray]:
    """Cut `users` into runs whose scores and whose explanations fit in memory."""
    by_size = np.arange(len(users)) // users_together(n_items)
    by_actions = np.cumsum(actions_per_user[users]) // SHARD_ACTIONS
    changes = (np.diff(by_size) != 0) | (np.diff(by_actions) != 0)
    yield from np.split(users, np.flatnonzero(changes) + 1) if len(users) else ()


def recommend(
    blend: Blend, log: ActionLog, segment: np.ndarray, users: np.ndarray, pool: Pool | None = None
) -> Iterator[Shard]:
    """Yield the pools of `users` (sorted positions), shard by shard.

    Args:
        blend: the model; only actions before its as-of time are read.
        log: all users' actions.
        segment: each of the log's users' row in the blend's popularity.
        users: whom to serve.
        pool: how many items, and which ones for a rule's sake; by default a list's.

    """
    pool = pool or Pool()
    log = log.before(blend.items.as_of)
    actions_per_user = np.bincount(log.user, minlength=log.n_users)
    for shard in shards_of(users, actions_per_user, log.n_items):
        history = build_history(log.of_users(shard), blend.items.as_of, blend.settings)
        items, scores = pool.best(blend.score(history, segment[shard]))
        yield Shard(shard, items, scores, history)


def explain(blend: Blend, shard: Shard, segment: np.ndarray) -> Evidence:
    """Say where a shard's scores come from; `segment` is that of all the log's users."""
    return blend.explain(shard.history, segment[shard.users], shard.items)


def all_lists(
    blend: Blend, log: ActionLog, segment: np.ndarray, users: np.ndarray, length: int = LIST_LENGTH
) -> np.ndarray:
    """Return the lists of `users` as one array of item positions, -1 past a list's end."""
    shards = [shard.items for shard in recommend(blend, log, segment, users, Pool(length))]
    return np.concatenate(shards) if shards else np.zeros((0, length), dtype=np.int64)

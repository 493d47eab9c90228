"""The one place where scored candidates become a list, for every surface.

    pool by score --> blocks, boosts --> pins, caps, seen too often, variety, long tail --> exploration --> list

Scores stay the model's own; what moved an item is told by `Moves`. Costs about 0.3 ms a user for a pool of 60 and
lists of 20, and 40 MB for a block of users, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
from scipy import sparse

from ml.metrics.beyond_accuracy import is_tail
from ml.recommender.dataset import PURCHASE, Shop
from ml.recommender.recommend import Pool
from ml.recommender.settings import LIST_LENGTH
from ml.rerank import exploration, trail
from ml.rerank.attributes import Attributes, load_attributes
from ml.rerank.greedy import HELD, NO_PIN, Bound, Cap, Constraints, choose
from ml.rerank.impressions import load_impressions
from ml.rerank.moves import Moves
from ml.rerank.rules import Rules, load_rules
from ml.rerank.settings import POOL_LENGTH, RerankSettings
from ml.rerank.similarity import Likeness

BLOCK_USERS = 512
#: A score this small a share of the user's best, or smaller, counts as this: logs have no end.
LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Reranked:
    """Lists of some users, users x length: `column` of the pool and its item, -1 past a list's end.

    `propensity` is the chance with which the policy shows the row: 1 where nothing is random.
    """

    column: np.ndarray
    items: np.ndarray
    is_exploration: np.ndarray
    propensity: np.ndarray
    moves: Moves

    def of_pool(self, values: np.ndarray) -> np.ndarray:
        """Take a pool's values (users x pool) to the lists; past a list's end stands some value: mask it."""
        return np.take_along_axis(values, np.maximum(self.column, 0), axis=1)


class Reranker:
    """What is known on a day of items, rules and users, and the settings."""

    def __init__(
        self,
        attributes: Attributes,
        vectors: np.ndarray,
        rules: Rules,
        impressions: sparse.csr_matrix,
        tail: np.ndarray,
        user_ids: np.ndarray,
        last_days: np.ndarray,
        surface: str,
        settings: RerankSettings,
    ) -> None:
        """Gather it; `load` reads it from a lake's features.

        Args:
            attributes: of the items.
            vectors: the items' text vectors, of length 1 or 0.
            rules: the shop's own, of the surface.
            impressions: users x items, times shown in 14 days without an answer.
            tail: which items are outside the head.
            user_ids: of all users.
            last_days: number of the day of each one's last action, -1 for none.
            surface: where the lists are shown.
            settings: every dial.

        """
        self.attributes = attributes
        self.likeness = Likeness.of(vectors, attributes.codes, settings)
        self.rules = rules
        self.impressions = impressions
        self.tail = tail
        self.user_ids = user_ids
        self.last_days = last_days
        self.surface = surface
        self.settings = settings

    @classmethod
    def load(
        cls,
        connection: duckdb.DuckDBPyConnection,
        shop: Shop,
        vectors: np.ndarray,
        settings: RerankSettings,
        surface: str,
    ) -> Reranker:
        """Read attributes, rules and impressions beside a shop; `vectors` are its items' text vectors."""
        attributes = load_attributes(connection)
        log = shop.log
        last_days = np.full(log.n_users, -1, dtype=np.int64)
        np.maximum.at(last_days, log.user, np.floor(log.time).astype(np.int64))
        bought = log.item[log.event == PURCHASE]
        return cls(
            attributes,
            vectors,
            Rules.of(load_rules(connection), surface, attributes),
            load_impressions(connection, log.n_users, log.n_items, settings.seen_too_often),
            is_tail(np.bincount(bought, minlength=log.n_items)),
            shop.users.user_ids,
            last_days,
            surface,
            settings,
        )

    @property
    def blocked(self) -> np.ndarray:
        """Which items no list of the surface may hold, one boolean an item."""
        return self.rules.blocked

    @property
    def pool(self) -> Pool:
        """What to ask the recommender for."""
        always = np.array(sorted({item for _, item, _ in self.rules.pins}), dtype=np.int64)
        return Pool(POOL_LENGTH, np.flatnonzero(self.blocked), always)

    def rerank(
        self,
        users: np.ndarray,
        items: np.ndarray,
        scores: np.ndarray,
        length: int = LIST_LENGTH,
        *,
        explores: bool = True,
        pins: bool = True,
    ) -> Reranked:
        """Make lists of pools.

        Args:
            users: positions among all users.
            items: users x pool item positions, best first, none twice; -1 for none.
            scores: theirs, comparable within a user; -inf for none.
            length: of the lists; a user with fewer candidates has a shorter one.
            explores: whether exploration places are kept.
            pins: whether pins hold.

        """
        parts = [
            self._block(users[some], items[some], scores[some], length, explores, pins)
            for some in (slice(begin, begin + BLOCK_USERS) for begin in range(0, len(users), BLOCK_USERS))
        ]
        if not parts:
            none = np.zeros((0, length), dtype=np.int64)
            return Reranked(none, none, none.astype(bool), none.astype(np.float64), Moves.joined([]))
        return Reranked(
            np.concatenate([part.column for part in parts]),
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.is_exploration for part in parts]),
            np.concatenate([part.propensity for part in parts]),
            Moves.joined([part.moves for part in parts]),
        )

    def _block(
        self, users: np.ndarray, items: np.ndarray, scores: np.ndarray, length: int, explores: bool, pins: bool
    ) -> Reranked:
        settings = self.settings
        there = (items >= 0) & np.isfinite(scores)
        place = np.maximum(items, 0)
        blocked = there & self.blocked[place]
        allowed = there & ~blocked
        factor = np.where(there, self.rules.factor[place], 1.0)
        relevance = log_relevance(np.where(there, scores, -np.inf)) + np.log(factor)
        shown = np.asarray(self.impressions[users[:, None], place].todense()) * there
        pinned = self._pins(items, allowed, length) if pins else np.full((len(items), length), NO_PIN)
        held = self._held(pinned, allowed, length) if explores else pinned
        bounds = Constraints(
            allowed,
            held,
            shown >= settings.seen_too_often if settings.seen_too_often else np.zeros(there.shape, dtype=bool),
            tuple(
                Cap(bound, np.where(there, self.attributes.codes[name][place], -1), max(1, int(share * length)))
                for bound, name, share in (
                    (Bound.BRAND_CAP, "brand", settings.brand_cap),
                    (Bound.CATEGORY_CAP, "category", settings.category_cap),
                )
                if share < 1.0
            ),
            there & self.tail[place],
            int(np.ceil(settings.tail_share * length)),
        )
        alike = self.likeness.within(np.where(there, items, -1))
        column, kept_by = choose(relevance, alike, settings.varieties(length), settings.method, length, bounds)
        is_drawn, count = self._draw(users, held, column, bounds)
        propensity = np.where(is_drawn, 1.0 / np.maximum(count, 1), 1.0)
        moves = trail.told(
            trail.Before(users, items, relevance, factor, blocked, shown, self.rules),
            trail.After(column, kept_by, is_drawn, count, pinned, alike),
            bounds,
        )
        return Reranked(
            column, np.where(column >= 0, np.take_along_axis(items, np.maximum(column, 0), axis=1), -1),
            is_drawn, propensity, moves,
        )  # fmt: skip

    def _pins(self, items: np.ndarray, allowed: np.ndarray, length: int) -> np.ndarray:
        """Return users x places: the pool's column of what is pinned there.

        A place that is taken gives the next, one beyond the user's last item the last.
        """
        pinned = np.full((len(items), length), NO_PIN, dtype=np.int64)
        n_allowed = allowed.sum(axis=1)
        for wanted, item, _ in self.rules.pins:
            if wanted >= length:
                continue
            found = (items == item) & allowed
            open_ = found.any(axis=1)
            for place in (*range(wanted, length), *range(wanted - 1, -1, -1)):
                here = open_ & (pinned[:, place] == NO_PIN) & (place < n_allowed)
                pinned[here, place] = found[here].argmax(axis=1)
                open_ &= ~here
        return pinned

    def _held(self, pinned: np.ndarray, allowed: np.ndarray, length: int) -> np.ndarray:
        """Return the pins with HELD at places kept for exploration: where candidates are left beyond the list."""
        held = pinned.copy()
        wanted = np.minimum(allowed.sum(axis=1) - length, self.settings.exploration_slots)
        for place in range(min(self.settings.exploration_place, length) - 1, length):
            here = (wanted > 0) & (held[:, place] == NO_PIN)
            held[here, place] = HELD
            wanted = wanted - here
        return held

    def _draw(
        self, users: np.ndarray, held: np.ndarray, column: np.ndarray, bounds: Constraints
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fill held places of `column` in place; return which were, and of how many each was drawn."""
        is_drawn = (held == HELD) & (column < 0)
        count = np.ones(held.shape, dtype=np.int64)
        ids, days = self.user_ids[users], self.last_days[users]
        for place in np.flatnonzero(is_drawn.any(axis=0)):
            eligible = bounds.left_for_one_more(column)
            uniform = exploration.uniform_draws(ids, days, f"{self.surface}|{place}")
            drawn, of = exploration.draw(eligible, uniform)
            here = is_drawn[:, place]
            column[here, place] = drawn[here]
            count[here, place] = of[here]
        return is_drawn & (column >= 0), count


def log_relevance(scores: np.ndarray) -> np.ndarray:
    """Return logs of each score's share of its row's best: at most 0, at least log LEAST_SHARE; -inf for none.

    A row whose best is not above 0 has no shares: its order is kept, a hundredth apart.
    """
    there = np.isfinite(scores)
    best = np.where(there, scores, 0.0).max(axis=1, keepdims=True)
    share = np.maximum(np.where(there, scores, 0.0) / np.where(best > 0, best, 1.0), LEAST_SHARE)
    by_place = -0.01 * np.arange(scores.shape[1])[None, :]
    return np.where(there, np.where(best > 0, np.log(share), by_place), -np.inf)

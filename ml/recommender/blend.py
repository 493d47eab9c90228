"""The blend: a sum over sources, each a sum over the user's history, so that every reason can be checked.

    score(u, j) = sum over h in history(u) of
                  interest(u, h) x (a ITEM_TO_ITEM[h, j] + b TEXT[h, j] + c [h = j, never bought])
                + d x repeat_rate(j)^p x trend(j)^q x orders_faded(u, j)
                + e x popularity(segment of u, j)

What one history item gave is one term of each sum: without the item the score is lower by exactly that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ml.recommender import buy_again, item_to_item
from ml.recommender.dataset import ActionLog
from ml.recommender.history import History
from ml.recommender.popular import Popularity
from ml.recommender.settings import BlendSettings

# The blend has the first four; the learned recommender has all of them.
ITEM_TO_ITEM, TEXT, BUY_AGAIN, POPULAR, SEQUENCE = range(5)
SOURCES = ("item_to_item", "text", "buy_again", "popular_in_segment", "sequence_model")
SCORE_DECIMALS = 6
N_EVIDENCE = 3  # items of the history that are told of with each listed item


@dataclass(frozen=True)
class ItemKnowledge:
    """What is learned about items from everyone's actions, before any weight is set."""

    cooccurrences: sparse.csr_matrix
    support: np.ndarray
    trends: np.ndarray
    text: sparse.csr_matrix
    repeat_rate: np.ndarray
    repeat_share: float
    popularity: Popularity
    is_candidate: np.ndarray
    as_of: float


def learn(
    log: ActionLog,
    text: sparse.csr_matrix,
    popularity: Popularity,
    is_candidate: np.ndarray,
    as_of: float,
    settings: BlendSettings,
) -> ItemKnowledge:
    """Learn from the actions before `as_of` (a time in days); `text` comes from `text_similarities`."""
    log = log.before(as_of)
    counts, support = item_to_item.count_cooccurrences(log, is_candidate, settings)
    return ItemKnowledge(
        counts,
        support,
        item_to_item.trend(log, as_of, settings),
        text,
        buy_again.repeat_rate(log, settings),
        buy_again.repeat_share(log, as_of, settings.repeat_window),
        popularity,
        is_candidate,
        as_of,
    )


@dataclass(frozen=True)
class RankedEvidence:
    """History items behind listed ones, users x list length x N_EVIDENCE; past the last `item` is -1, the rest 0.

    `source` is each one's largest, `from_item` all that it gave, above 0.
    """

    item: np.ndarray
    source: np.ndarray
    from_item: np.ndarray
    is_bought: np.ndarray

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        cell: np.ndarray,
        item: np.ndarray,
        source: np.ndarray,
        from_item: np.ndarray,
        is_bought: np.ndarray,
    ) -> RankedEvidence:
        """Keep the first N_EVIDENCE entries that gave anything of each cell (flat number in `shape`, sorted)."""
        kept = np.flatnonzero(from_item > 0)
        cell = cell[kept]
        place = np.arange(len(kept)) - np.searchsorted(cell, cell)
        kept, cell, place = (values[place < N_EVIDENCE] for values in (kept, cell, place))
        whole = (shape[0] * shape[1], N_EVIDENCE)
        found = []
        for values, empty in ((item, -1), (source, 0), (from_item, 0.0), (is_bought, False)):
            filled = np.full(whole, empty)
            filled[cell, place] = values[kept]
            found.append(filled.reshape(*shape, N_EVIDENCE))
        return cls(*found)


@dataclass(frozen=True)
class Evidence:
    """Where scores come from: all arrays have the shape users x list length.

    `by_source` has one more axis, the sources. `item` is the history item behind the largest source, or -1
    where that is popularity; `from_item` is all that this item, or the segment's popularity, gave.
    """

    by_source: np.ndarray
    source: np.ndarray
    item: np.ndarray
    from_item: np.ndarray
    is_bought: np.ndarray
    is_from_segment: np.ndarray
    ranked: RankedEvidence


class Blend:
    """Item knowledge with weights: scores users by their history and says why."""

    def __init__(self, items: ItemKnowledge, settings: BlendSettings) -> None:
        self.items = items
        self.settings = settings
        self.allows_repeats = items.repeat_share >= settings.repeat_threshold
        similar = item_to_item.normalise(items.cooccurrences, items.support, items.trends, settings)
        self.item_to_item = (similar * settings.item_to_item_weight).tocsr()
        self.text = (items.text * settings.text_weight).tocsr()
        self.similarity = (self.item_to_item + self.text).tocsr()
        wanted_again = items.repeat_rate**settings.repeat_rate_power * items.trends**settings.repeat_trend_power
        self.repeat_weight = settings.buy_again_weight * wanted_again * self.allows_repeats

    def _revisit(self, history: History) -> np.ndarray:
        open_interest = ~history.is_bought & self.items.is_candidate[history.item]
        return np.where(open_interest, self.settings.revisit_weight * history.interest, 0.0)

    def _buy_again(self, history: History) -> np.ndarray:
        return history.orders_faded * self.repeat_weight[history.item]

    def score(self, history: History, segment: np.ndarray) -> np.ndarray:
        """Return users x items; -inf where an item may not be recommended to the user.

        Never: inactive, dismissed or wholly returned. Already bought: only where the shop's repeats allow it.
        """
        scores = (history.matrix(history.interest) @ self.similarity).toarray()
        scores[history.user, history.item] += self._revisit(history) + self._buy_again(history)
        own, everyone = self.items.popularity.parts(segment, self.settings.segment_share)
        scores += self.settings.popular_weight * (own + everyone)
        np.round(scores, SCORE_DECIMALS, out=scores)
        scores[:, ~self.items.is_candidate] = -np.inf
        barred = history.barred(self.allows_repeats)
        scores[history.user[barred], history.item[barred]] = -np.inf
        return np.asarray(scores)

    def explain(self, history: History, segment: np.ndarray, lists: np.ndarray) -> Evidence:
        """Take the scores of `lists` (users x length item positions) apart."""
        n_users, length = lists.shape
        # One entry per user, history item and listed item, in this order.
        entry = np.repeat(np.arange(len(history.item)), length)
        slot = np.tile(np.arange(length), len(history.item))
        user, past = history.user[entry], history.item[entry]
        listed = lists[user, slot]
        interest = history.interest[entry]
        is_self = past == listed
        related = interest * _cells(self.item_to_item, past, listed) + np.where(
            is_self, self._revisit(history)[entry], 0.0
        )
        alike = interest * _cells(self.text, past, listed)
        again = np.where(is_self, self._buy_again(history)[entry], 0.0)
        cell = user * length + slot
        by_source = np.zeros((n_users, length, len(SOURCES)))
        for source, values in ((ITEM_TO_ITEM, related), (TEXT, alike), (BUY_AGAIN, again)):
            by_source[:, :, source] = np.bincount(cell, values, n_users * length).reshape(n_users, length)
        own, everyone = self.items.popularity.parts(segment, self.settings.segment_share)
        weight = self.settings.popular_weight
        own, everyone = (weight * np.take_along_axis(part, lists, axis=1) for part in (own, everyone))
        by_source[:, :, POPULAR] = own + everyone
        source = by_source.argmax(axis=2)

        item = np.full((n_users, length), -1, dtype=np.int64)
        from_item = np.maximum(own, everyone)
        is_bought = np.zeros((n_users, length), dtype=bool)
        chosen = source[user, slot]
        deciding = np.choose(np.minimum(chosen, BUY_AGAIN), (related, alike, again))
        total = related + alike + again
        # The reason is the item that gave most, of those with a share in the largest source; of equal ones the
        # item that comes first by id.
        is_named = (chosen != POPULAR) & (deciding > 0)
        best = np.lexsort((past, -np.where(is_named, total, -np.inf), cell))
        best = best[np.concatenate(([True], cell[best][1:] != cell[best][:-1]))] if len(best) else best
        best = best[is_named[best]]
        at = (user[best], slot[best])
        item[at] = past[best]
        from_item[at] = total[best]
        is_bought[at] = history.is_bought[entry[best]]
        is_reason = np.zeros(len(entry), dtype=bool)
        is_reason[best] = True
        order = np.lexsort((past, -total, ~is_reason, cell))
        own_source = np.stack([related, alike, again]).argmax(axis=0)
        own_source[best] = chosen[best]
        ranked = RankedEvidence.of(
            (n_users, length), cell[order], past[order], own_source[order], total[order],
            history.is_bought[entry[order]],
        )  # fmt: skip
        return Evidence(by_source, source, item, from_item, is_bought, own >= everyone, ranked)


def _cells(matrix: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Read single cells of a sparse matrix."""
    if not len(rows):
        return np.zeros(0)
    return np.asarray(matrix[rows, columns]).ravel()


def top_items(scores: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the best items of each row and how many there are; equal scores go by position.

    Args:
        scores: users x items, -inf where an item is barred.
        length: of the lists.

    Returns:
        Item positions, users x min(length, items), filled with -1 past the row's last item; and the scores there.

    """
    length = min(length, scores.shape[1])
    more = min(length + 1, scores.shape[1])
    # numpy's partition is ten times slower where many cells are equal, and barred ones are.
    found = torch.topk(torch.from_numpy(scores), more, dim=1)
    values, columns = found.values.numpy(), found.indices.numpy()
    order = np.lexsort((columns, -values), axis=1)
    values, columns = np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)
    if more > length:
        # Which of the items that are equal to the last one are found is not said.
        tied = (values[:, length - 1] == values[:, length]) & np.isfinite(values[:, length])
        for row in np.flatnonzero(tied):
            last = values[row, length - 1]
            above = int((values[row] > last).sum())
            columns[row, above:length] = np.flatnonzero(scores[row] == last)[: length - above]
    items = np.where(np.isfinite(values[:, :length]), columns[:, :length], -1)
    return items, values[:, :length].astype(np.float64)

"""A few dozen candidates of each user, and what every source says of each: what the ranker orders.

Candidates are the mixture's best items and the best of each source that the mixture may have passed over. No
feature knows who the user or which the item is, so a new item is judged as any other with the same evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.recommender.blend import Blend, top_items
from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.history import History
from ml.recommender.recommend import N_TOLD, Pool
from ml.recommender.repeat_features import FEATURES as REPEAT_FEATURES
from ml.recommender.repeat_features import repeat_features
from ml.recommender.sources import Scores, Sources

N_MIXED = 60
N_EACH = 10
SOURCE_NAMES = ("item_to_item", "text", "buy_again", "next_basket", "together", "sequence")
#: Of new items alone, the best by the text sources: they are met, though others stand before them.
NEW_SOURCE_NAMES = ("new_text", "new_look_alike", "new_sequence")
N_CANDIDATES = N_MIXED + N_EACH * (len(SOURCE_NAMES) + len(NEW_SOURCE_NAMES))
#: Latest actions whose links to a candidate are features of their own, and how many enter sums and maxima.
N_LATEST = 3
N_LINKED = 20
FEATURES = (
    "log_share", "log_probability", "score", "rank_share", "rank_probability", "rank",
    "item_to_item", "text", "buy_again", "rank_item_to_item", "rank_text",
    "log_support", "trend", "repeat_rate", "item_age",
    "log_support_latest", "history_length", "steps", "days_since_last", "repeat_share",
    "times_bought", "days_since_bought", "due", "last_step_has_it", "interest",
    *(f"{link}_{n}" for n in range(1, N_LATEST + 1) for link in ("item_to_item", "after", "text", "sequence")),
    "item_to_item_max", "item_to_item_count", "text_max", "text_mean", "sequence_max",
    "next_basket", "together", "share_next_basket", "share_together", "rank_next_basket", "rank_together",
    *REPEAT_FEATURES,
    "look_alike", "share_look_alike", "newness",
)  # fmt: skip
NEWNESS = FEATURES.index("newness")
N_TOGETHER = 128  # users whose candidates' vectors are gathered at once
NEVER = 1e4  # days since something that did not happen


@dataclass(frozen=True)
class Candidates:
    """Candidates of some users, best of the mixture first.

    `items` and `scores` are users x N_CANDIDATES (-1 and -inf past the last); `features` has one more axis.
    """

    items: np.ndarray
    scores: np.ndarray
    features: np.ndarray

    def rows(self, chosen: np.ndarray) -> Candidates:
        """Keep some users."""
        return Candidates(self.items[chosen], self.scores[chosen], self.features[chosen])

    @staticmethod
    def joined(parts: list[Candidates]) -> Candidates:
        """Put the users of several parts one after the other."""
        if len(parts) == 1:
            return parts[0]
        return Candidates(
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.features for part in parts]),
        )


def _cells(matrix: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    rows, columns = np.broadcast_arrays(rows, columns)
    return np.asarray(matrix[rows.ravel(), columns.ravel()], dtype=np.float32).reshape(rows.shape)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return each cell's place in its row, largest first."""
    order = np.argsort(-values, axis=1, kind="stable")
    ranks = np.empty(values.shape, dtype=np.float32)
    np.put_along_axis(ranks, order, np.arange(values.shape[1], dtype=np.float32)[None, :], axis=1)
    return ranks


def _choose(
    mixed: np.ndarray, parts: list[np.ndarray], new: np.ndarray, new_parts: list[np.ndarray], pool: Pool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mixture's best items and each part's best, users x N_CANDIDATES, ordered by the mixture.

    `new_parts` are users x the items `new` (positions). What the pool's rules are about comes beside them.
    """
    everything, width = mixed, N_CANDIDATES + pool.width - pool.length
    if len(pool.never):
        mixed = mixed.copy()
        mixed[:, pool.never] = -np.inf
    is_open = np.isfinite(mixed)
    found = [top_items(mixed, N_MIXED)[0]]
    found += [top_items(np.where(is_open, part, -np.inf), N_EACH)[0] for part in parts]
    some = [(np.where(is_open[:, new], part, -np.inf), N_EACH, new) for part in new_parts if len(new)]
    by_rule = ((pool.never, N_TOLD), (pool.always, len(pool.always)))
    some += [(everything[:, of], count, of) for of, count in by_rule if len(of)]
    for values, count, of in some:
        columns = top_items(values, count)[0]
        found.append(np.where(columns >= 0, of[columns], -1))
    items = np.sort(np.concatenate(found, axis=1), axis=1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = -1
    scores = np.where(items >= 0, np.take_along_axis(everything, np.maximum(items, 0), axis=1), -np.inf)
    order = np.lexsort((items, -scores), axis=1)[:, :width]
    items, scores = np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
    missing = width - items.shape[1]
    if missing > 0:
        items = np.pad(items, ((0, 0), (0, missing)), constant_values=-1)
        scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    return items, scores.astype(np.float64)


@dataclass(frozen=True)
class _Actions:
    """Of some users and all items, users x items: orders, and the time of the last one; and the user's own."""

    orders: sparse.csr_matrix
    last_bought: sparse.csr_matrix
    steps: np.ndarray
    since_last: np.ndarray
    repeat_share: np.ndarray
    latest: np.ndarray
    last_step: sparse.csr_matrix


def _actions_of(log: ActionLog, as_of: float) -> _Actions:
    """Gather what users did; `log` holds theirs alone, all before `as_of`."""
    shape = (log.n_users, log.n_items)
    bought = log.event == PURCHASE
    pair = log.user[bought] * log.n_items + log.item[bought]
    day = np.floor(log.time[bought]).astype(np.int64)
    # Several lines of one day are one decision.
    once = np.unique(np.stack([pair, day]), axis=1)
    pairs, counts = np.unique(once[0], return_counts=True)
    last = np.zeros(len(pairs))
    np.maximum.at(last, np.searchsorted(pairs, once[0]), once[1])
    place = (pairs // log.n_items, pairs % log.n_items)
    starts = np.concatenate(([0], np.cumsum(np.bincount(log.user, minlength=log.n_users))))
    has_any = starts[1:] > starts[:-1]
    final = np.maximum(starts[1:] - 1, 0)
    since = np.where(has_any, as_of - log.time[final] if len(log) else NEVER, NEVER)
    is_new = np.ones(len(log), dtype=np.int64)
    is_new[1:] = log.step[1:] != log.step[:-1]
    lines = np.bincount(once[0] // log.n_items, minlength=log.n_users)
    different = np.bincount(place[0], minlength=log.n_users)
    width = int(min(N_LINKED, max(1, np.diff(starts).max(initial=0))))
    where = starts[1:, None] - 1 - np.arange(width)
    latest = np.where(where >= starts[:-1, None], log.item[np.maximum(where, 0)] if len(log) else -1, -1)
    in_last = log.step == log.step[final][log.user] if len(log) else np.zeros(0, dtype=bool)
    return _Actions(
        sparse.csr_matrix((counts.astype(float), place), shape=shape),
        sparse.csr_matrix((last + 1.0, place), shape=shape),
        np.bincount(log.user, weights=is_new, minlength=log.n_users),
        since,
        1.0 - different / np.maximum(lines, 1),
        latest,
        sparse.csr_matrix((np.ones(in_last.sum()), (log.user[in_last], log.item[in_last])), shape=shape),
    )


def _user_and_item(sources: Sources, scores: Scores, actions: _Actions, items: np.ndarray) -> list[np.ndarray]:
    """Return the features of the item, of the user, and of what the user did with the item."""
    knowledge, as_of = sources.blend.items, sources.blend.items.as_of
    latest = actions.latest[:, :1]
    user = np.arange(len(items))[:, None]
    same = np.ones(items.shape)
    orders = _cells(actions.orders, user, items)
    interest = scores.history.matrix(scores.history.interest)
    since = np.where(orders > 0, as_of - (_cells(actions.last_bought, user, items) - 1.0), NEVER)
    # A user's usual time between two orders, from the days on which they did anything.
    usual = np.maximum(sources.first_action_age[scores.users] / np.maximum(actions.steps, 1.0), 0.5)[:, None]
    return [
        np.log1p(knowledge.support)[items], knowledge.trends[items], knowledge.repeat_rate[items],
        np.log1p(sources.item_age)[items],
        np.where(latest >= 0, np.log1p(knowledge.support)[np.maximum(latest, 0)], 0.0) * same,
        (actions.latest >= 0).sum(axis=1)[:, None] * same, np.log1p(actions.steps)[:, None] * same,
        np.log1p(np.maximum(actions.since_last, 0.0))[:, None] * same, actions.repeat_share[:, None] * same,
        orders, np.log1p(np.maximum(since, 0.0)),
        np.where(orders > 0, np.log1p(np.maximum(since, 0.0) * orders / usual), -1.0),
        _cells(actions.last_step, user, items), _cells(interest, user, items),
    ]  # fmt: skip


def _alike(vectors: np.ndarray, latest: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the products of candidates' vectors (users x n) with those of `latest`: users x actions x n.

    Summed in float64: in float32 the last bits depend on the machine and on how many candidates are asked for, and
    items of one text stand at 1, give or take such bits, where a tree may branch.
    """
    found = np.empty((*latest.shape, items.shape[1]), dtype=np.float32)
    for begin in range(0, len(items), N_TOGETHER):
        some = slice(begin, begin + N_TOGETHER)
        past = vectors[np.maximum(latest[some], 0)].astype(np.float64)
        found[some] = past @ vectors[items[some]].astype(np.float64).transpose(0, 2, 1)
    found[latest < 0] = 0.0
    return found


def _links(sources: Sources, latest: np.ndarray, items: np.ndarray) -> list[np.ndarray]:
    """Return what ties candidates (users x n) to `latest` (users x actions, newest first, -1 none)."""
    blend: Blend = sources.blend
    some = min(N_LATEST, latest.shape[1])
    known, past = (latest >= 0)[:, :, None], np.maximum(latest, 0)[:, :, None]
    related = np.where(known, _cells(blend.item_to_item, past, items[:, None, :]), 0.0)
    after = np.where(known[:, :some], _cells(blend.items.cooccurrences, past[:, :some], items[:, None, :]), 0.0)
    alike = _alike(sources.text, latest, items)
    near = _alike(sources.vectors.numpy(), latest[:, :some], items)
    alone = [part[:, n] for n in range(some) for part in (related, after, alike, near)]
    alone += [np.zeros(items.shape)] * (4 * (N_LATEST - some))
    return [
        *alone,
        np.maximum(related.max(axis=1), 0.0), (related > 0).sum(axis=1),
        np.maximum(alike.max(axis=1), 0.0), alike.sum(axis=1) / np.maximum(known.sum(axis=1), 1),
        np.maximum(near.max(axis=1), 0.0),
    ]  # fmt: skip


def _parts(sources: Sources, history: History) -> list[np.ndarray]:
    """Return what item-to-item, text, buy again and look-alikes' links give each item: users x items each."""
    blend = sources.blend
    interest = history.matrix(history.interest)
    related = interest @ blend.item_to_item
    again = history.matrix(history.orders_faded * blend.repeat_weight[history.item])
    found = (related, interest @ blend.text, again, related @ sources.look_alikes)
    return [_dense(part) for part in found]


def _dense(part: sparse.csr_matrix) -> np.ndarray:
    """Return users x items float32; scipy's own way sorts all cells first."""
    cells = (part.data.astype(np.float32), part.indices, part.indptr)
    return np.asarray(sparse.csr_matrix(cells, shape=part.shape).toarray())


def _new_parts(sources: Sources, scores: Scores, look_alike: np.ndarray) -> list[np.ndarray]:
    """Return what the sources that know text give the new items: users x `sources.new` each."""
    history, new = scores.history, sources.new
    alike = (history.matrix(history.interest) @ sources.text_of_new).toarray()
    parts = [np.where(part > 0, part, -np.inf) for part in (alike, look_alike[:, new])]
    return parts if sources.model is None else [*parts, scores.log_probability[:, new]]


def _shares_of_best(parts: tuple[np.ndarray, ...], items: np.ndarray) -> list[np.ndarray]:
    """Return what each part (users x all items) gives `items`, divided by the best it gives the user."""
    best = [np.maximum(part.max(axis=1, keepdims=True), 1e-9) for part in parts]
    return [np.take_along_axis(part, items, axis=1) / top for part, top in zip(parts, best, strict=True)]


def describe(
    sources: Sources,
    scores: Scores,
    weight: float,
    items: np.ndarray | None = None,
    pool: Pool | None = None,
    places: np.ndarray | None = None,
) -> Candidates:
    """Choose and describe the candidates of a shard of users.

    Args:
        sources: what is known of items and of all users.
        scores: of the shard.
        weight: the sequence model's share in the mixture.
        items: users x candidates (-1 past the last) to describe instead of the best.
        pool: items that rules are about.
        places: users x n, which of the candidates to describe, ranked among all of them; None: all.

    Returns:
        The candidates; with `places` those alone, in that order.

    """
    regressions = sources.regressions.scores(scores.log)
    *counted, look_alike = _parts(sources, scores.history)
    parts = [*counted, *regressions]
    if items is None:
        extra = [*(np.where(part > 0, part, -np.inf) for part in parts)]
        if sources.model is not None:
            extra.append(scores.log_probability)
        new_parts = _new_parts(sources, scores, look_alike)
        items, values = _choose(scores.mixed(weight), extra, sources.new, new_parts, pool or Pool())
    else:
        values = scores.mixed(weight, items)
    there = np.maximum(items, 0)
    links, texts, repeats = counted
    ranked = [scores.log_share, scores.log_probability, links, texts, *regressions]
    given = [values, *(np.take_along_axis(part, there, axis=1) for part in ranked)]
    ranks = [_ranks(part) for part in given]
    if places is not None:
        items, there = (np.take_along_axis(part, places, axis=1) for part in (items, there))
        given, ranks = ([np.take_along_axis(part, places, axis=1) for part in some] for some in (given, ranks))
    values, share, probability, related, alike, following, together = given
    of_values, of_share, of_probability, of_related, of_alike, of_following, of_together = ranks
    again = np.take_along_axis(repeats, there, axis=1)
    actions = _actions_of(scores.log, sources.blend.items.as_of)
    features = [
        share, probability, values, of_share, of_probability, of_values,
        related, alike, again, of_related, of_alike,
        *_user_and_item(sources, scores, actions, there),
        *_links(sources, actions.latest, there),
        following, together, *_shares_of_best(regressions, there), of_following, of_together,
        *repeat_features(scores.log, sources.blend.items.as_of, sources.sales, there),
        np.take_along_axis(look_alike, there, axis=1), *_shares_of_best((look_alike,), there),
        sources.newness[there],
    ]  # fmt: skip
    assert len(features) == len(FEATURES)
    return Candidates(items, values, np.stack(features, axis=2).astype(np.float32))


def find_candidates(sources: Sources, users: np.ndarray, weight: float) -> Candidates:
    """Choose and describe the candidates of `users` (sorted positions)."""
    found = Candidates(
        np.empty((len(users), N_CANDIDATES), dtype=np.int64),
        np.empty((len(users), N_CANDIDATES)),
        np.empty((len(users), N_CANDIDATES, len(FEATURES)), dtype=np.float32),
    )
    done = 0
    for scores in sources.scores(users):
        part = describe(sources, scores, weight)
        there = slice(done, done := done + len(part.items))
        found.items[there], found.scores[there], found.features[there] = part.items, part.scores, part.features
    return found

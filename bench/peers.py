"""Public recommenders to compare with: popularity, and implicit's item-to-item and ALS, each tuned on validation.

    every setting --fit on train--> NDCG@k on validation --> the best --fit on train + validation--> lists

All settings of a family's grid are tried, then from the best one each dial is turned on, up and down, as long as
that helps: so that no figure hangs on where a grid ends. Short lists, as item-to-item has for users with few
purchases, are filled up with popularity.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.tune import Targets

log = logging.getLogger(__name__)

Settings = dict[str, Any]
#: Fits, and yields settings and what makes the lists of the users asked for with them, one after the other.
Trial = Iterator[tuple[Settings, Callable[[], np.ndarray]]]
Peer = Callable[["Question", Settings], Trial]

NEIGHBOURS = (20, 50, 100, 200, 500)
BM25_GRID = {"K": (20, 100, 500), "K1": (0.2, 1.2, 10.0, 100.0), "B": (0.0, 0.4, 0.8, 1.0)}
ALS_GRID = {"factors": (64, 128), "regularization": (0.01, 0.1, 1.0), "alpha": (1.0, 10.0, 40.0)}
ALS_ITERATIONS = (5, 15, 25)
#: How far each dial is turned at a time, and between which bounds; factors last, as they cost most.
STEPS = {
    "K": (2, 2, 5_000), "K1": (4, 0.01, 1_000), "alpha": (3, 0.1, 1_000), "regularization": (4, 1e-3, 100),
    "iterations": (2, 1, 50), "factors": (2, 16, 512),
}  # fmt: skip
# Below this a score of implicit's says that there was nothing to list.
NOTHING = -1e30


@dataclass(frozen=True)
class PeerResult:
    """A tuned peer's lists.

    `lists` is users x k item positions, -1 past the end; `ndcg` the chosen settings' NDCG@k on validation, of
    `trials` settings tried; `seconds` the last training with the chosen ones, `seconds_listing` its lists,
    `seconds_tuning` all trials.
    """

    lists: np.ndarray
    settings: Settings
    ndcg: float
    trials: int
    seconds: float
    seconds_listing: float
    seconds_tuning: float


@dataclass(frozen=True)
class Question:
    """Whose lists are asked for, and how: `users` are rows of `matrix` (users x items, orders of each item)."""

    matrix: sparse.csr_matrix
    users: np.ndarray
    k: int
    allows_repeats: bool
    seed: int
    threads: int


def orders_matrix(actions: ActionLog) -> sparse.csr_matrix:
    """Return users x items: in how many orders (steps) each user bought each item."""
    bought = actions.event == PURCHASE
    # Lines of one order with the same item are one purchase.
    lines = np.unique(np.stack([actions.user[bought], actions.item[bought], actions.step[bought]]), axis=1)
    return sparse.csr_matrix(
        (np.ones(lines.shape[1]), (lines[0], lines[1])), shape=(actions.n_users, actions.n_items)
    )


def weighted(matrix: sparse.csr_matrix, weighting: str) -> sparse.csr_matrix:
    """Return the matrix with ones ("binary") or logarithms of 1 + orders ("log1p") in place of orders."""
    found = matrix.copy()
    found.data = np.ones_like(found.data) if weighting == "binary" else np.log1p(found.data)
    return found


def filled(lists: np.ndarray, question: Question) -> np.ndarray:
    """Fill lists that are too short with the items that most users have, barring own ones where so asked.

    Args:
        lists: users x k item positions, -1 anywhere for none.
        question: whose lists they are.

    Returns:
        The same with the items found to the front, in their order; -1 is left only where the catalogue ends.

    """
    k = question.k
    lists = np.take_along_axis(lists, np.argsort(lists < 0, axis=1, kind="stable"), axis=1)
    n_buyers = np.bincount(question.matrix.indices, minlength=question.matrix.shape[1])
    order = np.argsort(-n_buyers, kind="stable")
    for row in np.flatnonzero((lists < 0).any(axis=1)):
        own = _items_of(question.matrix, question.users[row])
        listed = lists[row][lists[row] >= 0]
        taken = listed if question.allows_repeats else np.concatenate([listed, own])
        # So many of the most popular hold k that are not taken.
        popular = order[: k + len(taken)]
        added = popular[~np.isin(popular, taken)][: k - len(listed)]
        lists[row, len(listed) : len(listed) + len(added)] = added
    return lists


def _items_of(matrix: sparse.csr_matrix, user: int) -> np.ndarray:
    return np.asarray(matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]])


def popularity(question: Question, settings: Settings) -> Trial:
    """List the items that most users have."""
    yield settings, lambda: filled(np.full((len(question.users), question.k), -1), question)


def item_to_item(question: Question, settings: Settings) -> Trial:
    """Score items by the sum of their similarities to the user's own (implicit's nearest neighbours).

    `settings` has `kind` (Cosine, TFIDF, BM25), `weights`, K (neighbours kept an item), and BM25's K1 and B.
    """
    from implicit import nearest_neighbours

    matrix = weighted(question.matrix, settings["weights"])
    dials = {name: value for name, value in settings.items() if name not in ("kind", "weights")}
    model = getattr(nearest_neighbours, f"{settings['kind']}Recommender")(**dials, num_threads=question.threads)
    model.fit(matrix, show_progress=False)
    yield settings, partial(_lists, model, matrix, question)


def als(question: Question, settings: Settings) -> Trial:
    """Factorise the matrix by alternating least squares (Hu, Koren and Volinsky, 2008; implicit's solver).

    `settings` has `weights`, `factors`, `regularization`, `alpha` and `iterations`: one number, or several, each
    of which yields lists of the same fit.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    matrix = weighted(question.matrix, settings["weights"])
    wanted = np.atleast_1d(settings["iterations"]).tolist()
    dials = {name: value for name, value in settings.items() if name not in ("weights", "iterations")}
    model = AlternatingLeastSquares(
        **dials, iterations=1, num_threads=question.threads, random_state=question.seed
    )
    for iteration in range(1, max(wanted) + 1):
        # fit goes on from the factors there are.
        model.fit(matrix, show_progress=False)
        if iteration in wanted:
            yield {**settings, "iterations": iteration}, partial(_lists, model, matrix, question)


def _lists(model: Any, matrix: sparse.csr_matrix, question: Question) -> np.ndarray:
    own = matrix[question.users]
    found, scores = model.recommend(
        question.users, own, N=min(question.k, matrix.shape[1]),
        filter_already_liked_items=not question.allows_repeats,
    )  # fmt: skip
    # Who has bought nothing has no scores but noise; implicit lists barred items where it finds no others.
    is_empty = (scores < NOTHING) | (np.diff(own.indptr) == 0)[:, None]
    if not question.allows_repeats:
        row, item = own.nonzero()
        is_empty |= hits_at(found, row.astype(np.int64), item, matrix.shape[1])
    lists = np.full((len(question.users), question.k), -1, dtype=np.int64)
    lists[:, : found.shape[1]] = np.where(is_empty, -1, found)
    return filled(lists, question)


def families(weightings: tuple[str, ...]) -> dict[str, tuple[Peer, list[Settings]]]:
    """Return each peer's way to make lists and the settings to try."""
    neighbours = [{"weights": w, "K": count} for w in weightings for count in NEIGHBOURS]
    return {
        "popularity": (popularity, [{}]),
        "cosine": (item_to_item, [{"kind": "Cosine", **one} for one in neighbours]),
        "tfidf": (item_to_item, [{"kind": "TFIDF", **one} for one in neighbours]),
        "bm25": (
            item_to_item,
            [{"kind": "BM25", "weights": w, **one} for w in weightings for one in _combinations(BM25_GRID)],
        ),
        "als": (
            als,
            [
                {"weights": w, **one, "iterations": ALS_ITERATIONS}
                for w in weightings
                for one in _combinations(ALS_GRID)
            ],
        ),
    }


def _combinations(grid: dict[str, tuple[Any, ...]]) -> list[Settings]:
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def tune(
    name: str, make: Peer, grid: list[Settings], question: Question, valid: Targets
) -> tuple[Settings, float, int]:
    """Return the settings with the largest NDCG@k on `valid`, that value, and how many settings were tried.

    Args:
        name: of the family, for the log.
        make: fits it.
        grid: settings to try; `STEPS` says how to go on from the best of them.
        question: asks for the lists of `valid.users`.
        valid: what they bought next.

    """
    best: tuple[float, Settings] = (-1.0, {})
    count = 0

    def attempt(settings: Settings) -> bool:
        """Try one fit and return whether it is the best so far."""
        nonlocal best, count
        before = best[0]
        for tried, list_users in make(question, settings):
            hits = hits_at(list_users(), valid.row, valid.item, question.matrix.shape[1])
            value = float(ndcg(hits, valid.per_user, question.k).mean())
            log.info("%s: NDCG@%d %.4f on validation with %s", name, question.k, value, tried)
            best = max(best, (value, tried), key=lambda trial: trial[0])
            count += 1
        return best[0] > before

    for one in grid:
        attempt(one)
    for dial, (ratio, low, high) in STEPS.items():
        if dial not in best[1]:
            continue
        start = best[1][dial]
        for step in (ratio, 1 / ratio):
            turned = type(start)(start * step)
            while low <= turned <= high and attempt({**best[1], dial: turned}):
                turned = type(start)(turned * step)
            if best[1][dial] != start:
                break  # what is better on the one side is not looked for on the other
    return best[1], best[0], count


def peer_lists(
    train: ActionLog,
    valid: Targets,
    whole: ActionLog,
    users: np.ndarray,
    k: int,
    allows_repeats: bool,
    seed: int,
    threads: int = 1,
) -> dict[str, PeerResult]:
    """Tune each peer family and return its lists.

    Args:
        train: what the trials are fitted on; only purchases are read.
        valid: what `valid.users` bought next: the best setting has the largest NDCG@k on it, averaged over users.
        whole: train and validation, which the chosen settings are fitted on.
        users: positions in `whole` of the users whose lists are wanted.
        k: length of the lists.
        allows_repeats: whether items that a user has bought may be listed.
        seed: of ALS's first factors.
        threads: that implicit may use. Its solver wants OPENBLAS_NUM_THREADS=1.

    """
    tuning = Question(orders_matrix(train), valid.users, k, allows_repeats, seed, threads)
    final = Question(orders_matrix(whole), users, k, allows_repeats, seed, threads)
    # Where nothing is bought twice the two weightings are one.
    weightings = ("binary", "log1p") if (tuning.matrix.data > 1).any() else ("binary",)
    found = {}
    for name, (make, grid) in families(weightings).items():
        began = time.perf_counter()
        settings, value, trials = tune(name, make, grid, tuning, valid)
        chosen_at = time.perf_counter()
        ((_, list_users),) = make(final, settings)
        trained_at = time.perf_counter()
        lists = list_users()
        found[name] = PeerResult(
            lists, settings, value, trials, trained_at - chosen_at, time.perf_counter() - trained_at,
            chosen_at - began,
        )  # fmt: skip
        log.info("%s: %d trials in %.0f s, chosen %s", name, trials, chosen_at - began, settings)
    return found

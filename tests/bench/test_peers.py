"""Peers on a tiny shop whose answers are known: two kinds of customers, each with items of its own."""

from __future__ import annotations

import numpy as np
import pytest

from bench import peers
from bench.peers import Question, orders_matrix, peer_lists
from ml.recommender.dataset import EVENT_CODES, PURCHASE, ActionLog
from ml.recommender.tune import Targets, targets_of

pytest.importorskip("implicit")
# implicit converts its own matrices and says so; a user who has all items has no weight in TF-IDF.
pytestmark = pytest.mark.filterwarnings("ignore:Method expects CSR", "ignore:invalid value encountered")

N_USERS, N_ITEMS = 40, 12
FAMILIES = {"popularity", "cosine", "tfidf", "bm25", "als"}


def log_of(user, item, step=None, event=None, n_users=N_USERS, n_items=N_ITEMS) -> ActionLog:
    n = len(user)
    return ActionLog(
        np.asarray(user),
        np.asarray(item),
        np.full(n, PURCHASE, dtype=np.int8) if event is None else np.asarray(event, dtype=np.int8),
        np.arange(n, dtype=np.float64),
        np.arange(n) if step is None else np.asarray(step),
        np.ones(n),
        n_users,
        n_items,
    )


def question(actions: ActionLog, users, k: int, allows_repeats: bool = False) -> Question:
    return Question(orders_matrix(actions), np.asarray(users), k, allows_repeats, 0, 1)


@pytest.fixture
def small_grids(monkeypatch):
    monkeypatch.setattr(peers, "NEIGHBOURS", (5, 20))
    monkeypatch.setattr(peers, "BM25_GRID", {"K": (20,), "K1": (1.2,), "B": (0.4, 0.8)})
    monkeypatch.setattr(peers, "ALS_GRID", {"factors": (4,), "regularization": (0.1,), "alpha": (1.0, 10.0)})
    monkeypatch.setattr(peers, "ALS_ITERATIONS", (3, 6))
    monkeypatch.setattr(peers, "STEPS", {"alpha": (2, 1, 40)})


@pytest.fixture
def two_kinds() -> tuple[ActionLog, Targets, ActionLog, Targets]:
    """Even users buy items 0 to 5, odd ones 6 to 11: each lacks two of them, one bought next, one the test."""
    user = np.repeat(np.arange(N_USERS), 6)
    item = 6 * (user % 2) + np.tile(np.arange(6), N_USERS)
    place = item % 6
    later, last = place == (user // 2) % 6, place == (user // 2 + 1) % 6
    train, whole = ~later & ~last, ~last

    def targets(chosen: np.ndarray) -> Targets:
        return targets_of(user[chosen], item[chosen], N_ITEMS)

    return log_of(user[train], item[train]), targets(later), log_of(user[whole], item[whole]), targets(last)


def test_orders_are_counted_and_only_of_purchases():
    event = [PURCHASE] * 4 + [EVENT_CODES["view"]]
    actions = log_of([0, 0, 0, 1, 1], [2, 2, 2, 0, 1], step=[0, 0, 1, 2, 2], event=event, n_users=2, n_items=3)
    assert orders_matrix(actions).toarray().tolist() == [[0, 0, 2], [1, 0, 0]]


def test_weights():
    matrix = orders_matrix(log_of([0, 0, 0], [2, 2, 1], n_users=1, n_items=3))
    assert peers.weighted(matrix, "binary").toarray().tolist() == [[0, 1, 1]]
    assert peers.weighted(matrix, "log1p").toarray()[0].tolist() == pytest.approx([0, np.log(2), np.log(3)])
    assert matrix.toarray().tolist() == [[0, 1, 2]]


# Item 1 has three buyers, 0 two, 3 one, 2 none.
BUYERS = log_of([0, 0, 1, 1, 2, 2], [1, 0, 1, 0, 1, 3], n_users=4, n_items=4)


def test_popularity_counts_buyers_and_bars_own_items():
    (((_, lists),)) = peers.popularity(question(BUYERS, [0, 2, 3], 4), {})
    assert lists().tolist() == [[3, 2, -1, -1], [0, 2, -1, -1], [1, 0, 3, 2]]
    (((_, lists),)) = peers.popularity(question(BUYERS, [0, 2, 3], 2, allows_repeats=True), {})
    assert lists().tolist() == [[1, 0]] * 3


def test_gaps_are_filled_with_what_is_popular_and_not_listed():
    asked = question(BUYERS, [0, 3], 3)
    assert peers.filled(np.array([[-1, 2, -1], [3, -1, 1]]), asked).tolist() == [[2, 3, -1], [3, 1, 0]]


@pytest.mark.usefixtures("small_grids")
def test_each_peer_tells_the_two_kinds_apart(two_kinds):
    train, valid, whole, test = two_kinds
    found = peer_lists(train, valid, whole, test.users, 1, allows_repeats=False, seed=0)
    assert set(found) == FAMILIES
    for name in FAMILIES - {"popularity"}:
        # Of its six items a user lacks but one: it has to be the first.
        assert found[name].lists[test.row, 0].tolist() == test.item.tolist(), name
        # Then two were lacking, and either may have been first.
        assert 0 < found[name].ndcg <= 1


@pytest.mark.usefixtures("small_grids")
@pytest.mark.parametrize("allows_repeats", [False, True])
def test_own_items_are_barred_or_not(two_kinds, allows_repeats):
    train, valid, whole, test = two_kinds
    own = orders_matrix(whole).toarray() > 0
    found = peer_lists(train, valid, whole, test.users, N_ITEMS, allows_repeats, seed=0)
    for name, result in found.items():
        for user, row in zip(test.users, result.lists, strict=True):
            listed = row[row >= 0]
            assert len(set(listed)) == len(listed) == (N_ITEMS if allows_repeats else N_ITEMS - 5), name
            assert own[user, listed].any() == allows_repeats, name
            assert (row[len(listed) :] == -1).all()


@pytest.mark.usefixtures("small_grids")
def test_repeats_are_weighted_both_ways_and_the_same_seed_gives_the_same(two_kinds):
    train, valid, whole, test = two_kinds
    twice = [log_of(np.repeat(a.user, 2), np.repeat(a.item, 2)) for a in (train, whole)]
    first, second = (peer_lists(twice[0], valid, twice[1], test.users, 3, True, seed=5) for _ in range(2))
    once = peer_lists(train, valid, whole, test.users, 3, True, seed=5)
    assert first["cosine"].trials == 2 * once["cosine"].trials == 4
    for name in FAMILIES:
        assert first[name].settings == second[name].settings
        assert (first[name].lists == second[name].lists).all()


@pytest.mark.usefixtures("small_grids")
def test_customers_without_a_past_get_what_is_popular():
    actions = log_of([0, 0, 1, 1, 2, 2, 3], [1, 0, 1, 0, 1, 2, 1], n_users=5, n_items=3)
    valid = targets_of(np.array([3]), np.array([0]), 3)
    found = peer_lists(actions, valid, actions, np.array([4]), 3, allows_repeats=False, seed=0)
    assert set(found) == FAMILIES
    assert all(result.lists.tolist() == [[1, 0, 2]] for result in found.values())


def test_lists_of_one_fit_are_those_of_that_many_iterations(two_kinds):
    train, _, _, test = two_kinds
    asked = question(train, test.users, 4)
    settings = {"weights": "binary", "factors": 4, "regularization": 0.1, "alpha": 5.0}
    together = [(s["iterations"], lists()) for s, lists in peers.als(asked, {**settings, "iterations": (2, 7)})]
    assert [n for n, _ in together] == [2, 7]
    for n, lists in together:
        ((_, alone),) = peers.als(asked, {**settings, "iterations": n})
        assert (alone() == lists).all()


def test_a_dial_is_turned_on_while_that_helps(monkeypatch):
    """The list is right from K = 40 on."""
    monkeypatch.setattr(peers, "STEPS", {"K": (2, 1, 1_000)})
    tried = []

    def make(asked, settings):
        tried.append(settings["K"])
        yield settings, lambda: np.array([[0, 1, 2]]) if settings["K"] >= 40 else np.array([[1, 0, 2]])

    valid = targets_of(np.array([0]), np.array([0]), 3)
    asked = question(log_of([0], [1], n_users=1, n_items=3), [0], 3)
    settings, value, trials = peers.tune("peer", make, [{"K": 5}, {"K": 30}], asked, valid)
    # From the first of equals: up to 10 does not help, nor does 2.
    assert (settings, tried, trials) == ({"K": 5}, [5, 30, 10, 2], 4)
    tried.clear()
    settings, value, trials = peers.tune("peer", make, [{"K": 30}], asked, valid)
    assert (settings, value, tried) == ({"K": 60}, 1.0, [30, 60, 120])

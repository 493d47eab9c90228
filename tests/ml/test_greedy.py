"""Greedy choice: known answers, against determinants computed by brute force, and what no bound may break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.rerank.greedy import HELD, NO_PIN, Bound, Cap, Constraints, choose


def no_bounds(n_users: int, n: int, length: int, **changes) -> Constraints:
    plain = {
        "allowed": np.ones((n_users, n), dtype=bool),
        "pins": np.full((n_users, length), NO_PIN),
        "seen": np.zeros((n_users, n), dtype=bool),
        "caps": (),
        "tail": np.zeros((n_users, n), dtype=bool),
        "n_tail": 0,
    }
    return Constraints(**{**plain, **changes})


def random_kernel(rng: np.random.Generator, n: int, dimensions: int) -> np.ndarray:
    vectors = rng.normal(size=(n, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return 0.98 * vectors @ vectors.T + 0.02 * np.eye(n)


def alike(length: int, variety: float) -> np.ndarray:
    """Return the same variety for all places."""
    return np.full(length, variety)


def brute_force(relevance: np.ndarray, kernel: np.ndarray, varieties: np.ndarray) -> list[int]:
    """Add the item with the largest (1 - v) sum of relevance + v log det, computed anew at each place."""
    chosen: list[int] = []
    for variety in varieties:
        values = {}
        for item in set(range(len(relevance))) - set(chosen):
            some = [*chosen, item]
            _, log_det = np.linalg.slogdet(kernel[np.ix_(some, some)])
            values[item] = (1 - variety) * relevance[some].sum() + variety * log_det
        chosen.append(max(sorted(values), key=values.get))
    return chosen


@pytest.mark.parametrize("varieties", [[0.1] * 6, [0.5] * 6, [0.9] * 6, [0.0, 0.2, 0.4, 0.6, 0.8, 0.8]])
@pytest.mark.parametrize("seed", range(5))
def test_dpp_is_what_determinants_say(seed, varieties):
    rng = np.random.default_rng(seed)
    kernels = np.stack([random_kernel(rng, 9, 4) for _ in range(3)])
    relevance = np.sort(rng.normal(size=(3, 9)), axis=1)[:, ::-1]
    chosen, _ = choose(relevance, kernels, np.array(varieties), "dpp", 6, no_bounds(3, 9, 6))
    expected = [brute_force(relevance[u], kernels[u], varieties) for u in range(3)]
    assert chosen.tolist() == expected


def test_dpp_takes_the_unlike_of_two_equally_good():
    kernel = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    relevance = np.array([[0.0, -0.1, -0.2]])
    # log det: the second leaves log(1 - 0.81) = -1.66, the third 0.
    assert choose(relevance, kernel[None], alike(3, 0.5), "dpp", 3, no_bounds(1, 3, 3))[0].tolist() == [[0, 2, 1]]
    assert choose(relevance, kernel[None], alike(3, 0.01), "dpp", 3, no_bounds(1, 3, 3))[0].tolist() == [[0, 1, 2]]


def test_mmr_by_hand():
    # Carbonell and Goldstein's sum: 0.5 x relevance - 0.5 x likeness to the most alike above.
    kernel = np.array([[1.0, 0.8, 0.1, 0.7], [0.8, 1.0, 0.0, 0.0], [0.1, 0.0, 1.0, 0.9], [0.7, 0.0, 0.9, 1.0]])
    relevance = np.array([[0.0, -0.1, -0.6, -0.3]])
    # First 0; then -0.1-0.8, -0.6-0.1, -0.3-0.7: item 2; then -0.1-0.8, -0.3-0.9: item 1.
    assert choose(relevance, kernel[None], alike(4, 0.5), "mmr", 4, no_bounds(1, 4, 4))[0].tolist() == [
        [0, 2, 1, 3]
    ]


def test_without_variety_the_scores_decide():
    relevance = np.array([[0.0, -1.0, -2.0, -np.inf]])
    chosen, _ = choose(relevance, np.ones((1, 4, 4)), np.zeros(4), "dpp", 4, no_bounds(1, 4, 4))
    assert chosen.tolist() == [[0, 1, 2, -1]]


def test_equals_of_one_likeness_go_by_place():
    chosen, _ = choose(np.zeros((1, 5)), np.eye(5)[None], alike(5, 0.5), "dpp", 5, no_bounds(1, 5, 5))
    assert chosen.tolist() == [[0, 1, 2, 3, 4]]


def test_a_cap_is_told_and_let_go_of_where_nothing_else_is_left():
    codes = np.array([[0, 0, 0, 1]])
    bounds = no_bounds(1, 4, 4, caps=(Cap(Bound.BRAND_CAP, codes, 1),))
    chosen, kept_by = choose(np.array([[0.0, -1, -2, -3]]), np.eye(4)[None], alike(4, 0.0), "dpp", 4, bounds)
    assert chosen.tolist() == [[0, 3, 1, 2]]
    assert kept_by.tolist() == [[Bound.NONE, Bound.BRAND_CAP, Bound.BRAND_CAP, Bound.NONE]]


def test_what_was_seen_too_often_comes_last():
    bounds = no_bounds(1, 3, 3, seen=np.array([[True, False, False]]))
    chosen, kept_by = choose(np.array([[0.0, -1, -2]]), np.eye(3)[None], alike(3, 0.0), "dpp", 3, bounds)
    assert chosen.tolist() == [[1, 2, 0]]
    assert kept_by.tolist() == [[Bound.SEEN, Bound.NONE, Bound.NONE]]


def test_the_tails_share_is_taken_at_the_latest_places():
    tail = np.array([[False, False, False, True, True]])
    bounds = no_bounds(1, 5, 3, tail=tail, n_tail=2)
    chosen, kept_by = choose(np.array([[0.0, -1, -2, -3, -4]]), np.eye(5)[None], alike(3, 0.0), "dpp", 3, bounds)
    assert chosen.tolist() == [[0, 3, 4]]
    assert kept_by[0, 1] == kept_by[0, 2] == Bound.TAIL_SHARE


def test_pins_and_held_places():
    pins = np.array([[NO_PIN, 4, HELD, NO_PIN]])
    chosen, _ = choose(
        np.array([[0.0, -1, -2, -3, -4]]),
        np.eye(5)[None],
        alike(4, 0.3),
        "dpp",
        4,
        no_bounds(1, 5, 4, pins=pins),
    )
    assert chosen.tolist() == [[0, 4, -1, 1]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["dpp", "mmr"]), st.floats(0, 0.95), st.integers(1, 8))
def test_whatever_the_bounds_lists_are_full_without_an_item_twice(seed, method, variety, length):
    rng = np.random.default_rng(seed)
    n_users, n = 4, 10
    kernels = np.stack([random_kernel(rng, n, 3) for _ in range(n_users)])
    relevance = np.sort(rng.normal(size=(n_users, n)), axis=1)[:, ::-1].copy()
    allowed = rng.random((n_users, n)) < 0.7
    pins = np.full((n_users, length), NO_PIN)
    for user in range(n_users):
        may = np.flatnonzero(allowed[user])
        if len(may) and rng.random() < 0.5:
            pins[user, rng.integers(length)] = rng.choice(may)
    codes = rng.integers(-1, 3, (n_users, n))
    cap = Cap(Bound.BRAND_CAP, codes, int(rng.integers(1, 4)))
    bounds = Constraints(
        allowed,
        pins,
        rng.random((n_users, n)) < 0.3,
        (cap,),
        rng.random((n_users, n)) < 0.5,
        int(rng.integers(0, 4)),
    )
    chosen, _ = choose(relevance, kernels, alike(length, variety), method, length, bounds)
    for user in range(n_users):
        listed = chosen[user][chosen[user] >= 0]
        assert len(set(listed)) == len(listed) == min(length, allowed[user].sum()) or (pins[user] >= 0).any()
        assert allowed[user][listed].all()
        places = np.flatnonzero(pins[user] >= 0)
        assert (chosen[user][places] == pins[user][places]).all()
        if not len(places):
            # A brand over its cap is there only because the pool had nothing else.
            free = [i for i in np.flatnonzero(allowed[user]) if i not in set(listed)]
            for code in range(3):
                if (codes[user][listed] == code).sum() > cap.most:
                    others = [
                        i
                        for i in free
                        if codes[user][i] == -1 or (codes[user][listed] == codes[user][i]).sum() < cap.most
                    ]
                    assert not others
    again, _ = choose(relevance, kernels, alike(length, variety), method, length, bounds)
    assert (again == chosen).all()

"""Shares, leanings, rhythm and presence on data whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.portraits.affinities import rank_within, shares_by
from ml.portraits.evidence import Actions, Goods
from ml.portraits.leanings import lean, price_places
from ml.portraits.presence import fit_presence
from ml.portraits.rhythm import chance_close
from ml.portraits.sensitive import is_sensitive
from ml.portraits.shrink import MOST, gamma_of_rates, size_of_means, size_of_shares


def actions(user, item, time, weight) -> Actions:
    n = len(user)
    return Actions(
        np.array(user), np.array(item), np.array(time, dtype=float), np.array(weight, dtype=float),
        np.ones(n, dtype=bool), np.arange(n), np.ones(n), np.ones(n),
    )  # fmt: skip


def test_shares_halve_with_each_half_life_before_the_users_last_action():
    labels = np.array(["a", "b", ""], dtype=object)
    found = shares_by(labels, actions([0, 0, 0, 2], [0, 1, 2, 1], [10, 0, 99, 5], [1, 2, 50, 3]), 3, 10.0)
    # a: 1 today; b: 2, one half-life older, so 1; what has no label counts for nothing, nor does its day
    assert list(zip(found.user, found.kinds[found.kind], found.share, found.evidence, strict=True)) == [
        (0, "a", 0.5, 1.0),
        (0, "b", 0.5, 1.0),
        (2, "b", 1.0, 3.0),
    ]
    assert found.matrix(3).tolist() == [[0.5, 0.5], [0, 0], [0, 1]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.floats(0, 400), st.integers(0, 5)), min_size=1))
def test_shares_add_up_to_one_and_time_moves_nothing(rows):
    rows = sorted(rows, key=lambda r: (r[0], r[2]))
    user, item, time, weight = zip(*rows, strict=True)
    labels = np.array(list("abcdef"), dtype=object)
    found = shares_by(labels, actions(user, item, time, weight), 5, 60.0)
    sums = np.bincount(found.user, found.share, 5)
    acted = np.zeros(5, dtype=bool)
    acted[[u for u, w in zip(user, weight, strict=True) if w > 0]] = True
    assert sums == pytest.approx(acted.astype(float))
    later = shares_by(labels, actions(user, item, np.array(time) + 30, weight), 5, 60.0)
    assert later.share == pytest.approx(found.share)
    assert (rank_within(found.user)[1:] >= 0).all()


def test_a_price_stands_among_those_of_its_shelf():
    empty = np.array([""] * 6, dtype=object)
    shelf = np.array(["s", "s", "s", "t", "s", ""], dtype=object)
    goods = Goods(empty, empty, empty, empty, shelf, np.array([1, 2, 2, 9, np.nan, 5.0]), np.zeros(6), empty)
    assert price_places(goods) == pytest.approx([1 / 6, 4 / 6, 4 / 6, 0.5, np.nan, np.nan], nan_ok=True)


def test_leanings_are_drawn_to_everyones_where_there_is_little():
    rng = np.random.default_rng(0)
    true = rng.beta(2, 6, 400)
    user = np.repeat(np.arange(400), 30)
    found = lean("bargain_seeking", user, np.zeros(len(user)), (rng.random(12_000) < true[user]) * 1.0, 401, True)
    assert found.everyone == pytest.approx(0.25, abs=0.02)
    assert found.size == pytest.approx(8, rel=0.35)  # of beta(2, 6)
    assert np.corrcoef(found.value[:400], true)[0, 1] > 0.85
    assert np.isnan(found.value[400])
    few = lean("bargain_seeking", user[::30], np.zeros(400), np.ones(400), 400, True)
    assert few.value == pytest.approx(np.ones(400))


def test_users_who_do_not_differ_are_not_told_apart():
    rng = np.random.default_rng(1)
    counts = rng.multinomial(40, [0.2, 0.3, 0.5], 300).astype(float)
    assert size_of_shares(counts, counts.sum(axis=0) / counts.sum()) > 500
    assert size_of_means(rng.normal(0, 0.1, 2000) * 1.0, np.full(2000, 100.0), 1.0) > 1000
    assert size_of_means(np.array([0.5]), np.array([3.0]), 0.1) == MOST


def test_the_priors_of_means_and_rates_are_found():
    rng = np.random.default_rng(2)
    n = rng.integers(1, 30, 3000).astype(float)
    mean = rng.normal(0, 0.2, 3000) + rng.normal(0, 1, 3000) / np.sqrt(n)
    assert size_of_means(mean, n, 1.0) == pytest.approx(25, rel=0.3)  # 1 / 0.2^2
    days = rng.integers(5, 200, 3000).astype(float)
    shape, rate = gamma_of_rates(rng.poisson(rng.gamma(2.0, 1 / 20, 3000) * days).astype(float), days)
    assert shape == pytest.approx(2.0, rel=0.25)
    assert shape / rate == pytest.approx(0.1, rel=0.1)


def simulated_presence(seed: int, users: int = 4000):
    """Users who come at rates of their own until they leave, 100 days on end."""
    rng = np.random.default_rng(seed)
    rate, leaves = rng.gamma(1.2, 0.2, users), rng.exponential(80, users)
    first, last, days = (np.full(users, np.nan), np.full(users, np.nan), np.zeros(users))
    for user in range(users):
        came = np.flatnonzero(rng.random(100) < -np.expm1(-rate[user]))
        came = came[came < leaves[user]]
        if len(came):
            first[user], last[user], days[user] = came[0], came[-1], len(came)
    return first, last, days, leaves > 100


def test_who_is_said_to_be_there_with_a_chance_is_there_with_that_chance():
    first, last, days, there = simulated_presence(3)
    alive = fit_presence(first, last, days, 100.0).alive
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        held = (alive >= low) & (alive < high)
        assert held.sum() > 50
        assert there[held].mean() == pytest.approx(alive[held].mean(), abs=0.1)


def test_the_day_by_which_a_user_is_given_up():
    first, last, days, _ = simulated_presence(4, 300)
    found = fit_presence(first, last, days, 100.0)
    until = found.days_until(0.25)
    seen = np.isfinite(first)
    later = fit_presence(first, last, days, 100.0)
    assert later._alive(until)[seen] == pytest.approx(0.25, abs=0.01)
    assert np.isnan(until[~seen]).all()


@given(st.floats(1, 90), st.floats(0.5, 20), st.floats(0, 200))
@settings(max_examples=200)
def test_the_chance_of_an_order_on_its_day_is_a_chance_and_ends_when_it_is_over(gap, regularity, silence):
    chance = float(chance_close(np.array([gap]), np.array([regularity]), np.array([silence]))[0])
    assert 0 <= chance <= 1 + 1e-9
    if silence >= 1.5 * gap:
        assert chance == 0


def test_regular_buyers_are_surer_than_chance_and_chance_is_the_exponential():
    gap, none = np.array([10.0]), np.array([0.0])
    assert chance_close(gap, np.array([1.0]), none)[0] == pytest.approx(np.exp(-0.5) - np.exp(-1.5))
    assert chance_close(gap, np.array([16.0]), none)[0] > 0.9


@pytest.mark.parametrize(
    "name", ["Sexual wellness", "OTC Medicines", "计生用品", "Bibles & Hymnals", "中西药品", "孕妇装"]
)
def test_what_may_not_be_told(name):
    assert is_sensitive(name)


@pytest.mark.parametrize(
    "name", ["Essex tea", "Beauty & Personal Care", "美妆个护", "Books", "Druglow lamps", "", None]
)
def test_what_may_be_told(name):
    assert not is_sensitive(name)

"""Chances: between 0 and 1, never growing down a list, right on average."""

from __future__ import annotations

import numpy as np
import pytest

from ml.recommender.calibration import HALF_LIFE, NEVER_SEEN, fit_calibration, user_activity
from ml.recommender.dataset import PURCHASE, ActionLog


def lists_of(users: int, rng: np.random.Generator) -> np.ndarray:
    return -np.sort(-rng.gamma(1.0, size=(users, 20)), axis=1)


def test_chances_match_what_happens():
    rng = np.random.default_rng(0)
    scores, activity = lists_of(4000, rng), rng.normal(size=(4000, 3))
    truth = 1 / (1 + np.exp(3.0 - np.log(scores) - 0.5 * activity[:, :1]))
    hits = rng.random(truth.shape) < truth
    chance = fit_calibration(scores, hits, activity).probability(scores, activity)
    assert chance.mean() == pytest.approx(hits.mean(), rel=0.01)
    likely = chance > np.quantile(chance, 0.9)
    assert chance[likely].mean() == pytest.approx(hits[likely].mean(), rel=0.1)


def test_chances_never_grow_down_a_list():
    rng = np.random.default_rng(1)
    scores, activity = lists_of(500, rng), rng.normal(size=(500, 3))
    upside_down = np.argsort(np.argsort(scores, axis=1), axis=1) < 3  # the last places are bought
    chance = fit_calibration(scores, upside_down, activity).probability(scores, activity)
    assert (np.diff(chance, axis=1) <= 0).all()


def test_nothing_bought_still_gives_small_falling_chances():
    rng = np.random.default_rng(2)
    scores, activity = lists_of(300, rng), rng.normal(size=(300, 3))
    chance = fit_calibration(scores, np.zeros(scores.shape, dtype=bool), activity).probability(scores, activity)
    assert ((chance > 0) & (chance < 0.01)).all()
    assert (chance[:, 0] > chance[:, -1]).all()


def test_no_lists_leave_the_prior():
    found = fit_calibration(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 3)))
    chance = found.probability(np.ones((1, 20)), np.zeros((1, 3)))
    assert ((chance > 0) & (chance < 1)).all()


def test_activity_counts_silence_twice_and_lets_orders_fade():
    now = 400.0
    # User 0 buys two items in one order a half-life ago; user 1 has done nothing; user 2 acts from `now` on only.
    time = np.array([now - HALF_LIFE, now - HALF_LIFE, now])
    log = ActionLog(
        user=np.array([0, 0, 2]), item=np.array([0, 1, 0]), event=np.full(3, PURCHASE), time=time,
        step=np.array([5, 5, 6]), quantity=np.ones(3), n_users=3, n_items=2,
    )  # fmt: skip
    never = [-np.log1p(NEVER_SEEN), -NEVER_SEEN / 30, 0.0]
    assert user_activity(log, now) == pytest.approx(
        np.array([[-np.log1p(HALF_LIFE), -HALF_LIFE / 30, np.log(1.5)], never, never])
    )


def test_the_long_silent_are_not_believed_in():
    """Buying that halves every two weeks of silence: a logarithm alone says 3.6 times too much in the end."""
    rng = np.random.default_rng(3)
    silence = rng.uniform(0, 120, size=20_000)
    activity = np.stack([-np.log1p(silence), -silence / 30, np.zeros(len(silence))], axis=1)
    scores = lists_of(len(silence), rng)
    truth = np.repeat(0.05 * 0.5 ** (silence / 14)[:, None], scores.shape[1], axis=1)
    hits = rng.random(truth.shape) < truth
    chance = fit_calibration(scores, hits, activity).probability(scores, activity)
    for first, last in ((0, 7), (7, 30), (30, 60), (60, 120)):
        among = (silence >= first) & (silence < last)
        assert chance[among].mean() == pytest.approx(truth[among].mean(), rel=0.35)

"""Chances: between 0 and 1, never growing down a list, right on average."""

from __future__ import annotations

import numpy as np
import pytest

from ml.recommender.calibration import fit_calibration


def lists_of(users: int, rng: np.random.Generator) -> np.ndarray:
    return -np.sort(-rng.gamma(1.0, size=(users, 20)), axis=1)


def test_chances_match_what_happens():
    rng = np.random.default_rng(0)
    scores, activity = lists_of(4000, rng), rng.normal(size=(4000, 2))
    truth = 1 / (1 + np.exp(3.0 - np.log(scores) - 0.5 * activity[:, :1]))
    hits = rng.random(truth.shape) < truth
    chance = fit_calibration(scores, hits, activity).probability(scores, activity)
    assert chance.mean() == pytest.approx(hits.mean(), rel=0.01)
    likely = chance > np.quantile(chance, 0.9)
    assert chance[likely].mean() == pytest.approx(hits[likely].mean(), rel=0.1)


def test_chances_never_grow_down_a_list():
    rng = np.random.default_rng(1)
    scores, activity = lists_of(500, rng), rng.normal(size=(500, 2))
    upside_down = np.argsort(np.argsort(scores, axis=1), axis=1) < 3  # the last places are bought
    chance = fit_calibration(scores, upside_down, activity).probability(scores, activity)
    assert (np.diff(chance, axis=1) <= 0).all()


def test_nothing_bought_still_gives_small_falling_chances():
    rng = np.random.default_rng(2)
    scores, activity = lists_of(300, rng), rng.normal(size=(300, 2))
    chance = fit_calibration(scores, np.zeros(scores.shape, dtype=bool), activity).probability(scores, activity)
    assert ((chance > 0) & (chance < 0.01)).all()
    assert (chance[:, 0] > chance[:, -1]).all()


def test_no_lists_leave_the_prior():
    found = fit_calibration(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 2)))
    chance = found.probability(np.ones((1, 20)), np.zeros((1, 2)))
    assert ((chance > 0) & (chance < 1)).all()

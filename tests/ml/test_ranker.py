"""The ranker on candidates where one feature tells what is bought."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lightgbm")

from ml.metrics.ranking import hits_at
from ml.recommender.mixture import blend_log_shares
from ml.recommender.ranker import FEATURES, Candidates, choose_ranker, fit_ranker
from ml.recommender.tune import Targets

N_USERS, N_ITEMS, N = 600, 40, 10


def shop(tells: bool) -> tuple[Candidates, Targets]:
    """Return users whose target is a random candidate, marked in the last feature if `tells`."""
    rng = np.random.default_rng(0)
    items = np.array([rng.permutation(N_ITEMS)[:N] for _ in range(N_USERS)])
    place = rng.integers(0, N, N_USERS)
    features = rng.normal(size=(N_USERS, N, len(FEATURES))).astype(np.float32)
    if tells:
        features[:, :, -1] = 0.0
        features[np.arange(N_USERS), place, -1] = 1.0
    scores = np.tile(-0.01 * np.arange(N), (N_USERS, 1))
    users = np.arange(N_USERS)
    return Candidates(items, scores, features), Targets(users, users, items[users, place])


def test_puts_first_what_the_feature_tells() -> None:
    candidates, targets = shop(tells=True)
    ranker = choose_ranker(candidates, targets, N_ITEMS, 3, seed=0)
    assert ranker is not None
    first = ranker.lists(candidates, 1)
    assert hits_at(first, targets.row, targets.item, N_ITEMS).mean() > 0.95


def test_too_few_hits_fit_nothing() -> None:
    candidates, targets = shop(tells=True)
    few = Targets(targets.users[:50], targets.row[:50], targets.item[:50])
    assert fit_ranker(candidates.rows(np.arange(50)), few, N_ITEMS, seed=0) is None


def test_missing_candidates_stay_last() -> None:
    candidates, targets = shop(tells=True)
    ranker = fit_ranker(candidates, targets, N_ITEMS, seed=0)
    assert ranker is not None
    candidates.items[0, 4:] = -1
    found = ranker.lists(candidates, N)[0]
    assert set(found[:4]) == set(candidates.items[0, :4])
    assert (found[4:] == -1).all()


def test_shares_add_up_and_bars_stay() -> None:
    logs = blend_log_shares(np.array([[3.0, 1.0, -np.inf], [0.0, 0.0, -np.inf]]))
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.exp(logs[0, :2]), [0.75, 0.25], atol=1e-4)
    np.testing.assert_allclose(np.exp(logs[1, :2]), 0.5)
    assert np.isneginf(logs[:, 2]).all()

"""The ranker on candidates where one feature tells what is bought."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ml.recommender.candidates import FEATURES, Candidates
from ml.recommender.ranker import cross_fitted_scores, fit_ranker, hits_of, mean_ndcg, ordered
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
    ranker = fit_ranker(candidates, hits_of(candidates, targets, N_ITEMS), seed=0)
    assert ranker is not None
    lists = ordered(candidates, ranker.scores(candidates), 1)[0]
    assert mean_ndcg(lists, targets, N_ITEMS, 1) > 0.95


def test_cross_fitted_scores_know_no_more_than_there_is_to_know() -> None:
    ndcg = {}
    for tells in (True, False):
        candidates, targets = shop(tells)
        hits = hits_of(candidates, targets, N_ITEMS)
        scores = cross_fitted_scores(candidates, hits, targets.users, seed=0)
        assert scores is not None
        ndcg[tells] = mean_ndcg(ordered(candidates, scores, N)[0], targets, N_ITEMS, N)
    by_chance = np.mean(1.0 / np.log2(np.arange(N) + 2))
    assert ndcg[True] > 0.95
    assert abs(ndcg[False] - by_chance) < 0.03


def test_too_few_hits_fit_nothing() -> None:
    candidates, targets = shop(tells=True)
    few = candidates.rows(np.arange(50))
    assert fit_ranker(few, hits_of(candidates, targets, N_ITEMS)[:50], seed=0) is None


def test_missing_candidates_stay_last() -> None:
    candidates, targets = shop(tells=True)
    ranker = fit_ranker(candidates, hits_of(candidates, targets, N_ITEMS), seed=0)
    assert ranker is not None
    items = candidates.items.copy()
    items[0, 4:] = -1
    candidates = replace(candidates, items=items)
    found = ordered(candidates, ranker.scores(candidates), N)[0][0]
    assert set(found[:4]) == set(items[0, :4])
    assert (found[4:] == -1).all()

"""What stands in for items without actions, and how far they are lifted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from ml.recommender.new_items import LIFTS, LOOK_ALIKES, MAX_COST, choose_lift, look_alikes, newness
from ml.recommender.ranker import mean_ndcg
from ml.recommender.tune import Targets


def test_newness_falls_with_the_square_of_what_is_known():
    assert newness(np.array([0.0, 1.0, 3.0])).tolist() == [1.0, 0.25, 0.0625]


def test_known_items_stand_in_by_their_likeness():
    # Item 2 is new: it is like item 0 (0.9) and item 1 (0.3). Item 0 and 2 are alike by the new one's row alone.
    similar = sparse.csr_matrix(np.array([[0, 0.1, 0.0], [0.1, 0, 0.3], [0.9, 0.3, 0]]))
    found = look_alikes(similar, np.array([5.0, 2.0, 0.0])).toarray()
    assert found[:, 2] == pytest.approx([0.75, 0.25, 0.0])
    assert found[:, 0] == pytest.approx([0.0, 1.0, 0.0])
    assert found[2].tolist() == [0.0, 0.0, 0.0]  # nothing is known of it: it stands in for nobody


def test_the_nearest_stand_in_and_nobody_where_nothing_is_alike():
    n = LOOK_ALIKES + 5
    similar = np.zeros((n + 2, n + 2))
    similar[n, :n] = np.linspace(0.9, 0.1, n)
    found = look_alikes(sparse.csr_matrix(similar), np.ones(n + 2)).toarray()
    assert (found[:, n] > 0).sum() == LOOK_ALIKES
    assert (found[LOOK_ALIKES:, n] == 0).all()
    assert found[:, n].sum() == pytest.approx(1.0)
    assert found[:, n + 1].sum() == 0.0


def many(n_users: int, wants_new: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, Targets]:
    """Return lists of ten items whose last is new, and targets: it, or the first."""
    items = np.tile(np.arange(10), (n_users, 1))
    scores = np.tile(-0.1 * np.arange(10), (n_users, 1))
    new = np.zeros(items.shape)
    new[:, 9] = 1.0
    users = np.arange(n_users)
    target = np.where(np.arange(n_users) < wants_new * n_users, 9, 0)
    return items, scores, new, Targets(users, users, target)


@pytest.mark.parametrize(("wants_new", "expected"), [(0.0, 0.9), (0.5, LIFTS[-1])])
def test_the_lift_is_the_largest_that_costs_little(wants_new, expected):
    items, scores, new, targets = many(400, wants_new)
    lift = choose_lift(items, scores, new, 0.1, targets, 10, 10)
    assert lift == expected
    lifted = np.take_along_axis(items, np.argsort(-(scores + lift * new), axis=1, kind="stable"), axis=1)
    assert mean_ndcg(lifted, targets, 10, 10) >= (1 - MAX_COST) * mean_ndcg(items, targets, 10, 10)


def test_without_new_items_there_is_nothing_to_judge_a_lift_by():
    items, scores, new, targets = many(100, 0.0)
    assert choose_lift(items, scores, 0.0 * new, 0.0, targets, 10, 10) == 0.0


def test_new_items_get_a_bounded_share_of_the_places():
    items, scores, new, targets = many(100, 1.0)
    # In lists of one the new item, one of ten, has all places or none: half the users' would be too many.
    assert choose_lift(items, scores, new, 0.1, targets, 10, 1) == 0.9
    assert choose_lift(items, scores, new, 0.5, targets, 10, 1) == LIFTS[-1]

"""Coverage, Gini, novelty, tail share and diversity against figures worked out by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from ml.metrics import beyond_accuracy as beyond

NOTHING = np.full((3, 2), -1)


def test_gini_is_zero_when_all_items_are_shown_equally():
    assert beyond.gini(np.array([[0, 1], [2, 3]]), 2, 4) == pytest.approx(0.0)


def test_gini_counts_the_items_never_shown():
    # Exposures 0, 0, 0, 2: the sum over all pairs of |difference| is 12, over 2 n^2 mean = 16.
    assert beyond.gini(np.array([[7], [7]]), 1, 4) == pytest.approx(0.75)


def test_gini_of_uneven_exposure():
    # Exposures 0, 1, 1, 2 of four places: differences 1+1+2+0+1+1 = 6, each pair twice = 12, over 2 * 16 * 1.
    assert beyond.gini(np.array([[0, 1], [0, 2]]), 2, 4) == pytest.approx(12 / 32)


def test_gini_agrees_with_its_definition():
    rng = np.random.default_rng(3)
    lists = rng.integers(-1, 20, (50, 4))
    exposure = np.bincount(lists[lists >= 0], minlength=30)
    expected = np.abs(exposure[:, None] - exposure).sum() / (2 * 30**2 * exposure.mean())
    assert beyond.gini(lists, 4, 30) == pytest.approx(expected)


def test_gini_refuses_more_items_than_candidates():
    with pytest.raises(ValueError, match="3 different items"):
        beyond.gini(np.array([[0, 1, 2]]), 3, 2)


def test_novelty_is_in_bits_and_averaged_by_user():
    # Eight users: item 0 is everyone's (0 bits), item 1 two users' (2 bits), item 2 one's (3 bits).
    lists = np.array([[0, 1], [2, -1]])
    assert beyond.novelty(lists, 2, np.array([8, 2, 1]), 8) == pytest.approx(((0 + 2) / 2 + 3) / 2)
    assert beyond.novelty(lists, 1, np.array([8, 2, 1]), 8) == pytest.approx((0 + 3) / 2)


def test_an_item_nobody_has_is_as_novel_as_one_users():
    assert beyond.novelty(np.array([[0]]), 1, np.array([0]), 8) == pytest.approx(3.0)


def test_users_without_a_list_have_no_novelty():
    assert beyond.novelty(np.array([[-1], [1]]), 1, np.array([8, 2]), 8) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("counts", "tail"),
    [
        ([1, 5, 3, 1], [True, False, False, True]),  # 5 + 3 are exactly 80%
        ([1, 5, 2, 2], [True, False, False, False]),  # 5 + 2 are 70%, so it takes both items with 2
        ([10, 1, 1], [False, True, True]),
        ([4], [False]),
        ([1] * 5, [False] * 4 + [True]),
        ([7] * 35, [False] * 28 + [True] * 7),
    ],
)
def test_the_head_makes_four_fifths_of_purchases(counts, tail):
    assert beyond.is_tail(np.array(counts)).tolist() == tail


def test_tail_share_is_of_filled_places():
    counts = np.array([1, 5, 3, 1])
    assert beyond.tail_share(np.array([[1, 0], [3, -1]]), 2, counts) == pytest.approx(2 / 3)
    assert beyond.tail_share(np.array([[1, 0], [3, -1]]), 1, counts) == pytest.approx(1 / 2)


def test_diversity_is_the_mean_distance_of_pairs():
    # The vectors' lengths do not matter. Cosines: 0 and 1 are at a right angle, 2 lies at 45 degrees of both.
    vectors = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    half = 1 - 1 / math.sqrt(2)
    lists = np.array([[0, 1, 2], [0, 2, -1]])
    assert beyond.intra_list_diversity(lists, 3, vectors) == pytest.approx(((1 + 2 * half) / 3 + half) / 2)
    assert beyond.intra_list_diversity(lists[:1], 2, vectors) == pytest.approx(1.0)


def test_a_list_of_one_item_has_no_pair():
    vectors = np.eye(2)
    assert beyond.intra_list_diversity(np.array([[0, 1], [0, -1]]), 2, vectors) == pytest.approx(1.0)
    assert math.isnan(beyond.intra_list_diversity(np.array([[0, -1]]), 2, vectors))


def test_an_item_without_text_is_like_no_other():
    assert beyond.intra_list_diversity(np.array([[0, 1]]), 2, np.array([[1.0, 0], [0, 0]])) == pytest.approx(1.0)


def test_diversity_does_not_depend_on_the_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, lists = rng.standard_normal((9, 5)), np.array([rng.permutation(9)[:4] for _ in range(11)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    expected = np.mean([1 - cosine[a, b] for row in lists for a, b in combinations(row, 2)])
    monkeypatch.setattr(beyond, "CHUNK_VALUES", 3 * 4 * 5)
    assert beyond.intra_list_diversity(lists, 4, vectors) == pytest.approx(expected)


def test_all_of_it_together():
    lists = np.array([[1, 0, 2], [1, -1, -1]])
    found = beyond.beyond_accuracy(lists, 2, 4, np.array([1, 4, 0, 0]), 4, np.eye(4))
    assert found == pytest.approx(
        {
            "coverage@2": 0.5,
            "gini@2": (1 * 1 + 3 * 2) / (4 * 3),  # exposures 0, 0, 1, 2
            "novelty@2": ((0 + 2) / 2 + 0) / 2,
            "tail_share@2": 1 / 3,
            "diversity@2": 1.0,
        }
    )


@pytest.mark.parametrize("lists", [NOTHING, np.zeros((0, 2), dtype=np.int64), np.zeros((3, 0), dtype=np.int64)])
def test_nothing_shown_covers_nothing_and_has_no_other_figure(lists):
    found = beyond.beyond_accuracy(lists, 2, 4, np.ones(4), 4, np.eye(4))
    assert found.pop("coverage@2") == 0
    assert len(found) == 4
    assert all(math.isnan(value) for value in found.values())


def test_k_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        beyond.beyond_accuracy(NOTHING, 0, 4, np.ones(4), 4, np.eye(4))

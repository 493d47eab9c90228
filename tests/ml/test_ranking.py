"""Recall, NDCG, coverage and their intervals against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.metrics import ranking

# Two users, lists of three: the first hits at places 1 and 3 of four targets, the second at place 2 of one.
LISTS = np.array([[5, 6, 7], [1, 2, -1]])
TARGET_USER = np.array([0, 0, 0, 0, 1])
TARGET_ITEM = np.array([7, 5, 8, 9, 2])
N_TARGETS = np.array([4, 1])
HITS = np.array([[True, False, True], [False, True, False]])


def test_hits_are_the_listed_targets():
    found = ranking.hits_at(LISTS, TARGET_USER, TARGET_ITEM, 10)
    assert found.tolist() == HITS.tolist()


def test_an_empty_place_is_never_a_hit():
    # -1 in row 1 has the key of item 9 in row 0, which is a target of row 0.
    assert not ranking.hits_at(LISTS, np.array([0]), np.array([9]), 10)[1].any()


@pytest.mark.parametrize(("k", "expected"), [(1, [0.25, 0.0]), (2, [0.25, 1.0]), (3, [0.5, 1.0])])
def test_recall(k, expected):
    assert ranking.recall(HITS, N_TARGETS, k).tolist() == expected


def test_ndcg():
    first = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3) + 1 / math.log2(4))
    second = 1 / math.log2(3)
    assert ranking.ndcg(HITS, N_TARGETS, 3) == pytest.approx([first, second])


def test_ndcg_of_a_perfect_short_list_is_one():
    assert ranking.ndcg(np.array([[True, False]]), np.array([1]), 10) == pytest.approx([1.0])


def test_coverage_counts_different_items():
    assert ranking.coverage(np.array([[1, 2], [1, 3]]), 2, 10) == pytest.approx(0.3)
    assert ranking.coverage(np.array([[1, 2], [1, 3]]), 1, 10) == pytest.approx(0.1)
    assert ranking.coverage(np.array([[1, -1]]), 2, 10) == pytest.approx(0.1)


def test_the_bootstrap_interval_is_that_of_the_mean():
    # 400 coin tosses: the mean's standard error is 0.025.
    values = np.tile([0.0, 1.0], 200)
    low, high = ranking.bootstrap_mean(values, seed=1)
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)
    assert (low, high) == ranking.bootstrap_mean(values, seed=1)


def test_the_coverage_interval_holds_the_value():
    lists = np.random.default_rng(0).integers(0, 300, (100, 5))
    low, high = ranking.bootstrap_coverage(lists, 5, 300)
    assert low < ranking.coverage(lists, 5, 300) < high


def test_the_coverage_interval_holds_the_value_of_lists_that_are_nearly_alike():
    """Nearly every resample covers the same six items: what is left of the interval lay beside the figure."""
    lists = np.tile(np.arange(5), (15, 1))
    lists[:5, 4] = 5
    low, high = ranking.bootstrap_coverage(lists, 5, 300)
    assert low <= ranking.coverage(lists, 5, 300) == 6 / 300 <= high

"""Nearest texts: a known answer, ties, blocks; the index against the exact search."""

from __future__ import annotations

import numpy as np
import pytest

from ml.recommender.settings import BlendSettings
from ml.recommender.text_neighbours import text_similarities
from ml.text_encoder import neighbours

VECTORS = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0], [0, 0]], dtype=np.float32)
EVERY = np.ones(5, dtype=bool)


def clustered(texts: int, dimensions: int = 16, clusters: int = 40, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimensions))
    vectors = centres[rng.integers(0, clusters, texts)] + 0.5 * rng.normal(size=(texts, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_known_answer():
    found = neighbours.nearest(VECTORS, EVERY, 3)
    assert found.positions.tolist() == [[1, -1, -1], [2, 0, -1], [1, -1, -1], [-1] * 3, [-1] * 3]
    assert found.cosines[1].tolist() == pytest.approx([0.8, 0.6, 0])
    assert (found.recall, found.visited) == (1.0, 1.0)


def test_only_candidates_and_never_itself():
    found = neighbours.nearest(VECTORS, np.array([True, False, True, True, True]), 2)
    assert found.positions[1].tolist() == [2, 0]
    assert not (found.positions == 1).any()
    assert found.positions[0].tolist() == [-1, -1]


def test_of_equals_the_first_in_the_catalogue_is_first():
    twins = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)
    assert neighbours.nearest(twins, np.ones(4, dtype=bool), 2).positions[0].tolist() == [1, 2]


def test_no_candidates_no_neighbours():
    assert (neighbours.nearest(VECTORS, ~EVERY, 2).positions == -1).all()


def test_blocks_change_nothing(monkeypatch):
    vectors, active = clustered(200), np.arange(200) % 3 > 0
    whole = neighbours.nearest(vectors, active, 5)
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 1000)
    blocks = neighbours.nearest(vectors, active, 5)
    assert (whole.positions == blocks.positions).all()
    assert (whole.cosines == blocks.cosines).all()


def test_the_same_neighbours_as_the_recommender_has():
    vectors, active = clustered(150), np.arange(150) % 4 > 0
    settings = BlendSettings(text_neighbours=7, text_power=1.0)
    expected = text_similarities(vectors, active, settings)
    found = neighbours.nearest(vectors, active, 7)
    for text in range(150):
        own = found.positions[text] >= 0
        assert set(found.positions[text][own]) == set(expected[text].indices)
        assert found.cosines[text][own].sum() == pytest.approx(expected[text].data.sum(), abs=1e-4)


def test_the_index_finds_what_it_says_it_finds():
    vectors, active = clustered(6000), np.arange(6000) % 5 > 0
    exact = neighbours.nearest(vectors, active, 10)
    index = neighbours.nearest(vectors, active, 10, exact_pairs=0)
    whole = neighbours.shares_found(index.positions, exact.positions).mean()
    assert index.recall >= neighbours.WANTED_RECALL
    assert index.recall == pytest.approx(whole, abs=0.02)
    assert 0 < index.visited < 0.5
    assert not (index.positions == np.arange(6000)[:, None]).any()
    assert active[index.positions[index.positions >= 0]].all()
    assert (np.diff(index.cosines, axis=1) <= 0).all()
    again = neighbours.nearest(vectors, active, 10, exact_pairs=0)
    assert (again.positions == index.positions).all()
    # Asked for alone, it is the recall of that very search.
    shares = neighbours.index_recall(vectors, active, 10)
    assert len(shares) == neighbours.SAMPLED_QUERIES
    assert shares.mean() == index.recall
    assert shares.min() < 1.0


def test_an_index_of_few_candidates_is_as_good_as_exact():
    active = np.arange(5) < 3
    index = neighbours.nearest(VECTORS, active, 4, exact_pairs=0)
    exact = neighbours.nearest(VECTORS, active, 4)
    assert index.recall == 1.0
    assert index.positions.tolist() == exact.positions.tolist()


def test_recall_counts_what_was_due_of_each_text():
    found, due = np.array([[1, 2], [3, -1], [4, 5]]), np.array([[1, 5], [3, -1], [-1, -1]])
    assert neighbours.shares_found(found, due).tolist() == [0.5, 1.0]


def test_small_catalogues_are_searched_exactly():
    assert neighbours.is_exact(100_000, 100_000)
    assert not neighbours.is_exact(100_001, 100_000)

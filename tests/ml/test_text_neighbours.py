"""Nearest texts by cosine, blockwise as in one go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.recommender import text_neighbours
from ml.recommender.settings import BlendSettings
from ml.text_encoder import neighbours

VECTORS = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=np.float32)


def test_cosines_are_raised_to_the_power_and_never_negative():
    settings = BlendSettings(text_neighbours=3, text_power=2.0)
    similar = text_neighbours.text_similarities(VECTORS, np.ones(4, dtype=bool), settings).toarray()
    expected = [[0, 0.36, 0, 0], [0.36, 0, 0.64, 0], [0, 0.64, 0, 0], [0, 0, 0, 0]]
    assert similar == pytest.approx(np.array(expected), abs=1e-6)


def test_only_candidates_and_only_the_nearest():
    settings = BlendSettings(text_neighbours=1, text_power=1.0)
    active = np.array([True, False, True, True])
    similar = text_neighbours.text_similarities(VECTORS, active, settings).toarray()
    assert similar[:, 1].tolist() == [0, 0, 0, 0]
    assert similar[1] == pytest.approx([0, 0, 0.8, 0], abs=1e-6)


def test_blocks_change_nothing(monkeypatch):
    vectors = np.random.default_rng(3).normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    active = np.arange(50) % 3 > 0
    settings = replace(BlendSettings(), text_neighbours=5)
    whole = text_neighbours.text_similarities(vectors, active, settings).toarray()
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 100)
    assert text_neighbours.text_similarities(vectors, active, settings).toarray() == pytest.approx(whole)

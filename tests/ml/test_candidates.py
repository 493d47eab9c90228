"""Candidates described all at once, and some of them alone, as explaining does it again and again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ml.recommender.candidates import FEATURES, describe
from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.sequence_model import SequenceModel, SequenceSettings
from ml.recommender.settings import BlendSettings
from ml.recommender.sources import Sources
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import Items, sources_at

N_USERS, N_ITEMS, AS_OF = 30, 300, 100.0
WEIGHT = 0.4  # of the sequence model, which is as it was born


@pytest.fixture(scope="module")
def sources() -> Sources:
    """Users with twelve purchases each, of items of which every third tells the same as the one before it."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N_ITEMS, 384)).astype(np.float32)
    vectors[2::3] = vectors[1::3]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    user = np.repeat(np.arange(N_USERS), 12)
    n = len(user)
    time = np.tile(np.arange(12) + 80.0, N_USERS)
    log = ActionLog(
        user, rng.integers(0, N_ITEMS, n), np.full(n, PURCHASE, dtype=np.int8), time, np.arange(n), np.ones(n),
        N_USERS, N_ITEMS,
    )  # fmt: skip
    everything = np.ones(N_ITEMS, dtype=bool)
    settings = BlendSettings()
    items = Items(np.arange(N_ITEMS), vectors, text_similarities(vectors, everything, settings), everything)
    torch.manual_seed(0)
    model = SequenceModel(torch.from_numpy(vectors), torch.ones(N_ITEMS, dtype=torch.bool), SequenceSettings())
    return sources_at(log, AS_OF, items, settings, model.eval())


def test_some_candidates_are_described_as_among_all_bit_for_bit(sources: Sources) -> None:
    users = np.arange(N_USERS)
    scores = sources.scores_of(users, sources.log)
    everything = describe(sources, scores, WEIGHT)
    places = np.argsort(np.random.default_rng(1).random(everything.items.shape), axis=1)[:, :7]
    some = describe(sources, scores, WEIGHT, everything.items, places=places)
    assert np.array_equal(some.items, np.take_along_axis(everything.items, places, axis=1))
    assert np.array_equal(some.scores, np.take_along_axis(everything.scores, places, axis=1))
    expected = np.take_along_axis(everything.features, places[:, :, None], axis=1)
    differ = [name for n, name in enumerate(FEATURES) if (some.features[:, :, n] != expected[:, :, n]).any()]
    assert differ == []
    # Where float32's last bits matter, and where it takes a sequence model.
    assert (expected[:, :, FEATURES.index("text_max")] > 0.999).any()
    assert np.ptp(expected[:, :, FEATURES.index("sequence_max")]) > 0.1

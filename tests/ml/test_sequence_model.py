"""The sequence model against torch's own loss, and on a shop whose next item is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from ml.recommender.sequence_model import SequenceModel, SequenceSettings, softmax_loss
from ml.recommender.train_sequence_model import cut_windows, last_windows, train, user_vectors

SMALL = SequenceSettings(
    dimensions=16, heads=2, length=8, dropout=0.0, item_dropout=0.0, epochs=30, negatives=1000, batch_tokens=64
)


def cycling_shop(n_items: int = 12, n_users: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return a shop where item i is always followed by i + 1, around the clock."""
    lengths = np.random.default_rng(0).integers(3, 9, n_users)
    first = np.arange(n_users) % n_items
    items = np.concatenate([(f + np.arange(n)) % n_items for f, n in zip(first, lengths, strict=True)])
    return items, np.concatenate(([0], np.cumsum(lengths)))


def texts(n_items: int) -> np.ndarray:
    """Return unrelated texts' vectors."""
    vectors = np.random.default_rng(1).normal(size=(n_items, 32)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_loss_and_gradients_are_those_of_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(7, 5, generator=generator, requires_grad=True)
    vectors = torch.randn(11, 5, generator=generator, requires_grad=True)
    scale = torch.tensor(1.7, requires_grad=True)
    target = torch.tensor([0, 3, 3, 10, 5, 1, 2])
    theirs = torch.autograd.grad(
        functional.cross_entropy(scale * users @ vectors.T, target), (users, vectors, scale)
    )
    ours = torch.autograd.grad(softmax_loss(users, target, vectors, scale, None), (users, vectors, scale))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


def test_sampled_loss_of_equal_logits_is_that_of_all_items() -> None:
    users, vectors = torch.zeros(4, 3), torch.ones(100, 3)
    loss = softmax_loss(users, torch.arange(4), vectors, torch.tensor(1.0), torch.arange(50, 70))
    # 20 sampled items stand for 100, beside the target.
    assert float(loss) == pytest.approx(np.log(101), abs=1e-5)


def test_no_place_reads_what_follows() -> None:
    torch.manual_seed(0)
    model = SequenceModel(torch.from_numpy(texts(12)), SMALL).eval()
    vectors = model.item_vectors()
    one, other = torch.tensor([[3, 4, 5, 0]]), torch.tensor([[3, 4, 5, 9]])
    torch.testing.assert_close(model(one, vectors)[:, :3], model(other, vectors)[:, :3])
    assert not torch.allclose(model(one, vectors)[:, 3], model(other, vectors)[:, 3])


def test_every_action_after_the_first_is_a_target_once() -> None:
    windows = cut_windows(np.array([0, 1, 4, 30]), length=8)
    targets = np.concatenate([np.arange(f, e) for f, e in zip(windows.fresh, windows.end, strict=True)])
    np.testing.assert_array_equal(np.sort(targets), [2, 3, *range(5, 30)])
    assert (windows.end - windows.begin - 1).max() <= 8


def test_last_windows_are_right_aligned() -> None:
    items = np.array([7, 8, 9, 1])
    found = last_windows(items, np.array([0, 3, 4]), np.array([0, 1]), length=2)
    np.testing.assert_array_equal(found, [[8, 9], [-1, 1]])


def test_learns_what_follows_and_repeats_itself() -> None:
    items, starts = cycling_shop()
    logits = []
    for _ in range(2):
        model = train(items, starts, texts(12), SMALL, seed=3)
        found, of_items = user_vectors(model, items, starts, np.arange(60))
        logits.append((found @ of_items.T).numpy())
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[0].argmax(axis=1), (items[starts[1:] - 1] + 1) % 12)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = SequenceModel(torch.from_numpy(texts(12)), SMALL).eval()
    vectors = model.item_vectors()
    alone = model(torch.tensor([[3, 4]]), vectors)[0, -1]
    padded = model(torch.tensor([[-1, -1, 3, 4]]), vectors)[0, -1]
    torch.testing.assert_close(alone, padded)

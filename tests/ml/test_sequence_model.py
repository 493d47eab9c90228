"""The sequence model against torch's own loss, and on a shop whose next item is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ml.recommender.dataset import PURCHASE
from ml.recommender.sequence_model import Actions, SequenceModel, SequenceSettings, softmax_loss
from ml.recommender.sequences import Sequences
from ml.recommender.train_sequence_model import train, user_vectors

N_ITEMS, N_USERS = 12, 60
SMALL = SequenceSettings(
    dimensions=16, heads=2, length=8, dropout=0.0, item_dropout=0.0, id_dropout=0.0, epochs=30, negatives=1000,
    batch_tokens=64,
)  # fmt: skip


def cycling_shop() -> Sequences:
    """Return a shop where item i is always followed, a day later, by i + 1, around the clock."""
    lengths = np.random.default_rng(0).integers(3, 9, N_USERS)
    first = np.arange(N_USERS) % N_ITEMS
    items = np.concatenate([(f + np.arange(n)) % N_ITEMS for f, n in zip(first, lengths, strict=True)])
    times = np.concatenate([np.arange(n) - n + 0.0 for n in lengths])
    return Sequences(items, np.full(len(items), PURCHASE), times, np.concatenate(([0], np.cumsum(lengths))))


def texts(n_items: int = N_ITEMS) -> np.ndarray:
    """Return unrelated texts' vectors."""
    vectors = np.random.default_rng(1).normal(size=(n_items, 32)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def untrained(is_known: Tensor | None = None, settings: SequenceSettings = SMALL) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(
        torch.from_numpy(texts()), torch.ones(N_ITEMS) if is_known is None else is_known, settings
    ).eval()


def actions(items: list[int]) -> Actions:
    places = torch.tensor([items])
    zeros = torch.zeros_like(places)
    return Actions(places, zeros + PURCHASE, zeros, zeros + PURCHASE, zeros)


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
    loss = softmax_loss(users, torch.arange(4), vectors, torch.tensor(1.0), torch.arange(50, 70), 100)
    # 20 sampled items stand for 100, beside the target.
    assert float(loss) == pytest.approx(np.log(101), abs=1e-5)


def test_no_place_reads_what_follows() -> None:
    model = untrained()
    vectors = model.item_vectors()
    one, other = model(actions([3, 4, 5, 0]), vectors), model(actions([3, 4, 5, 9]), vectors)
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3], other[:, 3])


def test_padding_changes_nothing() -> None:
    model = untrained()
    vectors = model.item_vectors()
    alone, padded = model(actions([3, 4]), vectors)[0, -1], model(actions([-1, -1, 3, 4]), vectors)[0, -1]
    torch.testing.assert_close(alone, padded)


def test_an_item_without_actions_is_known_by_its_text_alone() -> None:
    is_known = torch.ones(N_ITEMS)
    is_known[4] = 0.0
    model = untrained(is_known)
    before = model.item_vectors()
    with torch.no_grad():
        model.own.weight += 1.0
    after = model.item_vectors()
    torch.testing.assert_close(before[4], after[4])
    assert not torch.allclose(before[5], after[5])


def test_learns_what_follows_and_repeats_itself() -> None:
    shop, logits = cycling_shop(), []
    for _ in range(2):
        model = train(shop, texts(), SMALL, seed=3)
        with torch.no_grad():
            vectors = model.item_vectors()
        logits.append((user_vectors(model, vectors, shop, np.arange(N_USERS), 0.0) @ vectors.T).numpy())
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[0].argmax(axis=1), (shop.item[shop.starts[1:] - 1] + 1) % N_ITEMS)


@pytest.mark.parametrize(
    "text", [np.zeros((N_ITEMS, 32)), np.tile(texts()[:1], (N_ITEMS, 1))], ids=["none", "equal"]
)
def test_texts_that_say_nothing_do_not_drown_the_items(text: np.ndarray) -> None:
    shop = cycling_shop()
    model = train(shop, text, SMALL, seed=3)
    with torch.no_grad():
        vectors = model.item_vectors()
        logits = user_vectors(model, vectors, shop, np.arange(N_USERS), 0.0) @ vectors.T
    following = (shop.item[shop.starts[1:] - 1] + 1) % N_ITEMS
    assert np.mean(logits.numpy().argmax(axis=1) == following) > 0.9


def test_some_items_vectors_are_those_among_all() -> None:
    model = untrained().train()
    model.settings = replace(SMALL, id_dropout=0.5)
    torch.manual_seed(1)
    everything = model.item_vectors()
    torch.manual_seed(1)
    some = model.item_vectors(torch.tensor([7, 2]))
    torch.testing.assert_close(some, everything[[7, 2]])


def test_a_user_without_actions_has_zeros() -> None:
    shop = Sequences(np.array([1]), np.array([PURCHASE]), np.array([-1.0]), np.array([0, 0, 1]))
    model = untrained()
    with torch.no_grad():
        found = user_vectors(model, model.item_vectors(), shop, np.array([0, 1]), 0.0)
    assert not found[0].any()
    assert found[1].norm() == pytest.approx(float(model.scale.detach()), rel=1e-4)


def test_interrupted_training_ends_the_same(tmp_path: Path) -> None:
    settings = SequenceSettings(dimensions=16, heads=2, length=8, epochs=4, negatives=8, batch_tokens=64)
    whole = train(cycling_shop(), texts(), settings, seed=3)

    def stop(epoch: int, _: SequenceModel, __: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        train(cycling_shop(), texts(), settings, seed=3, checkpoint=checkpoint, after_epoch=stop)
    epochs: list[int] = []
    resumed = train(
        cycling_shop(),
        texts(),
        settings,
        seed=3,
        checkpoint=checkpoint,
        after_epoch=lambda n, *_: epochs.append(n),
    )
    assert epochs == [3, 4]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

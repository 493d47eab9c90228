"""Lists of the largest products against sorting all of them, with ties, barred items and small shards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ml.recommender.top_k import top_k


def vectors(n: int, seed: int, values: int | None = None) -> np.ndarray:
    """Return vectors; whole numbers below `values` make many equal scores."""
    rng = np.random.default_rng(seed)
    if values is None:
        return rng.standard_normal((n, 8), dtype=np.float32)
    return rng.integers(-values, values, (n, 8)).astype(np.float32)


def lists(users, items, k, **options) -> tuple[np.ndarray, np.ndarray]:
    shards = list(top_k(users, items, k, **options))
    starts = np.cumsum([0] + [len(positions) for _, positions, _ in shards])
    assert [first for first, _, _ in shards] == starts[:-1].tolist()
    return np.concatenate([p for _, p, _ in shards]), np.concatenate([s for _, _, s in shards])


def sorted_products(users, items, k, barred=None) -> tuple[np.ndarray, np.ndarray]:
    scores = (users.astype(np.float64) @ items.T.astype(np.float64)).astype(np.float32)
    if barred is not None:
        indptr, indices = barred
        for row in range(len(users)):
            scores[row, indices[indptr[row] : indptr[row + 1]]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    missing = ((0, 0), (0, k - order.shape[1]))
    return (
        np.pad(np.where(best > -np.inf, order, -1), missing, constant_values=-1),
        np.pad(best, missing, constant_values=-np.inf),
    )


def random_barred(n_users: int, n_items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.random.default_rng(seed).integers(0, 30, n_users)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    return indptr, np.random.default_rng(seed + 1).integers(0, n_items, indptr[-1])


def assert_same(found, expected) -> None:
    assert found[0].tolist() == expected[0].tolist()
    assert found[0].dtype == np.int64
    assert found[1].dtype == np.float32
    np.testing.assert_array_equal(found[1], expected[1])


# 2 gives some ties, 1 gives vectors of -1 and 0 with hundreds of equal scores, None gives none.
@pytest.mark.parametrize("values", [None, 2, 1])
@pytest.mark.parametrize("n_items", [5, 64, 1000, 5000])
@pytest.mark.parametrize("k", [1, 20])
def test_equals_sorting_everything(values, n_items, k):
    users, items = vectors(50, 1, values), vectors(n_items, 2, values)
    barred = random_barred(50, n_items, 3)
    assert_same(lists(users, items, k), sorted_products(users, items, k))
    assert_same(lists(users, items, k, barred=barred), sorted_products(users, items, k, barred))


def test_of_equal_items_the_first_are_listed():
    # Every item twice, the copies far behind, and users to whom all items are alike.
    half = vectors(2000, 4)
    items = np.concatenate([half, half])
    users = np.concatenate([vectors(5, 5), np.zeros((2, 8), dtype=np.float32), -np.zeros((1, 8), np.float32)])
    found, scores = lists(users, items, 10)
    assert (found[:5, 1::2] == found[:5, ::2] + 2000).all()
    assert found[5:].tolist() == [list(range(10))] * 3
    assert (scores[5:] == 0).all()


@pytest.mark.parametrize("values", [None, 1])
@pytest.mark.parametrize("sizes", [(1, 64), (7, 640), (13, 4992), (64, 10_000)])
def test_shards_change_nothing(values, sizes):
    users, items = vectors(64, 6, values), vectors(5000, 7, values)
    barred = random_barred(64, 5000, 8)
    whole = lists(users, items, 15, barred=barred)
    user_shard, item_shard = sizes
    assert_same(lists(users, items, 15, barred=barred, user_shard=user_shard, item_shard=item_shard), whole)


def test_users_may_come_in_blocks_of_any_kind():
    users, items = vectors(30, 9), vectors(500, 10)
    barred = random_barred(30, 500, 11)
    blocks = (block for block in (users[:3], torch.from_numpy(users[3:4]), users[4:4], users[4:]))
    whole = lists(users, items, 5, barred=barred, user_shard=8)
    assert_same(lists(blocks, items, 5, barred=barred, user_shard=8), whole)


def test_a_block_may_be_filled_again():
    users, items = vectors(96, 24), vectors(500, 25)
    block = np.empty((8, 8), dtype=np.float32)

    def refilled():
        for begin in range(0, 96, 8):
            block[:] = users[begin : begin + 8]
            yield block

    assert_same(lists(refilled(), items, 5), lists(users, items, 5))


def test_who_may_get_nothing_gets_nothing():
    users, items = vectors(3, 12), vectors(300, 13)
    indptr = np.array([0, 0, 300, 598])
    barred = indptr, np.concatenate([np.arange(300), np.arange(298)])
    found, scores = lists(users, items, 4, barred=barred)
    assert (found[0] >= 0).all()
    assert found[1].tolist() == [-1] * 4
    assert (scores[1] == -np.inf).all()
    assert sorted(found[2, :2]) == [298, 299]
    assert found[2, 2:].tolist() == [-1, -1]


def test_an_empty_catalogue_gives_empty_lists():
    found, _ = lists(vectors(3, 14), vectors(0, 15), 4)
    assert found.tolist() == [[-1] * 4] * 3


@pytest.mark.parametrize(
    ("users", "options", "why"),
    [
        (vectors(3, 16), {"k": 0}, "positive"),
        (np.ones((3, 7), dtype=np.float32), {}, "7 dimensions"),
        (np.full((3, 8), np.nan, dtype=np.float32), {}, "finite"),
        (vectors(3, 16), {"barred": (np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int64))}, "2 users"),
    ],
)
def test_what_cannot_be_computed_is_refused(users, options, why):
    with pytest.raises(ValueError, match=why):
        lists(users, vectors(10, 17), **{"k": 2, **options})


def test_less_than_float32_is_refused():
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision  # monkeypatch cannot restore what is not in a __dict__
    products.fp32_precision = "bf16"
    try:
        with pytest.raises(ValueError, match="exact"):
            lists(vectors(3, 16), vectors(10, 17), 2)
    finally:
        products.fp32_precision = before


def test_threads_change_nothing():
    users, items = vectors(100, 21, 1), vectors(3000, 22, 1)
    barred = random_barred(100, 3000, 23)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = lists(users, items, 10, barred=barred, user_shard=8)
        torch.set_num_threads(3)
        assert_same(lists(users, items, 10, barred=barred, user_shard=8), alone)
        next(top_k(users, items, 10, user_shard=8))  # left after the first shard
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("values", [None, 1])
def test_a_gpu_gives_the_same(values):
    users, items = vectors(500, 18, values), vectors(20_000, 19, values)
    barred = random_barred(500, 20_000, 20)
    assert_same(lists(users, items, 20, barred=barred, device="cuda"), lists(users, items, 20, barred=barred))

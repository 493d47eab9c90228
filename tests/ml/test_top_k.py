"""Lists of the largest products against sorting all of them, with ties, barred items and small shards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.recommender.top_k import top_k
from ml.recommender.top_k_search import SPARE, Catalogue, raised_users

both = pytest.mark.parametrize("rough", [False, True])


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
@both
def test_equals_sorting_everything(values, n_items, k, rough):
    users, items = vectors(50, 1, values), vectors(n_items, 2, values)
    barred = random_barred(50, n_items, 3)
    assert_same(lists(users, items, k, rough=rough), sorted_products(users, items, k))
    assert_same(lists(users, items, k, barred=barred, rough=rough), sorted_products(users, items, k, barred))


@both
@pytest.mark.parametrize(
    ("user_sign", "item_sign"), [(1, -1), (-1, -1)], ids=["only negative scores", "only positive scores"]
)
def test_scores_of_one_sign(user_sign, item_sign, rough):
    users, items = user_sign * np.abs(vectors(40, 26)), item_sign * np.abs(vectors(2000, 27))
    assert_same(lists(users, items, 20, rough=rough), sorted_products(users, items, 20))


@both
def test_few_positive_scores_and_many_zeros(rough):
    items = np.zeros((3000, 8), dtype=np.float32)
    items[1::300] = vectors(10, 28)
    users = vectors(40, 29)
    assert_same(lists(users, items, 20, rough=rough), sorted_products(users, items, 20))


@both
@pytest.mark.parametrize("item_shard", [64, 3008, None])
@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4])
def test_items_as_close_as_the_rounding_of_bfloat16(spread, item_shard, rough):
    users, close = vectors(40, 30), vectors(1, 31) + np.float32(spread) * vectors(3008, 32)
    items = np.concatenate([close, np.float32(0.1) * vectors(500, 40)])  # a shard of others follows
    assert_same(lists(users, items, 20, rough=rough, item_shard=item_shard), sorted_products(users, items, 20))


@both
def test_products_that_bfloat16_cannot_hold(rough):
    rng = np.random.default_rng(41)
    users = rng.integers(0, 256, (100, 8)).astype(np.float32)  # it holds these, but of the products 8 bits
    items = rng.integers(190, 200, (3000, 8)).astype(np.float32)
    assert_same(lists(users, items, 20, rough=rough), sorted_products(users, items, 20))


@both
def test_lists_of_long_vectors_are_computed_again_in_parts(rough):
    rng = np.random.default_rng(33)
    users, items = (rng.standard_normal((n, 300), dtype=np.float32) for n in (30, 2000))
    assert_same(lists(users, items, 100, rough=rough), sorted_products(users, items, 100))


@both
@pytest.mark.parametrize(("user_scale", "item_scale"), [(1e-30, 1e-30), (1e-30, 1e30), (1e19, 5e17), (1e30, 1.0)])
def test_vectors_of_extreme_lengths(user_scale, item_scale, rough):
    users = np.float32(user_scale) * vectors(40, 34)
    items = np.float32(item_scale) * vectors(2000, 35)
    assert_same(lists(users, items, 20, rough=rough), sorted_products(users, items, 20))


@both
def test_an_item_as_long_as_float32_can_be(rough):
    users = 2.0 ** -np.arange(90, 114, dtype=np.float32).reshape(3, 8)  # bfloat16 holds them: no error times inf
    items = vectors(500, 42)
    items[321] = [3.39e38] + [0] * 7
    assert_same(lists(users, items, 5, rough=rough), sorted_products(users, items, 5))


def test_more_items_a_product_than_keys_of_bfloat16_can_count():
    users, items = vectors(20, 36), vectors(70_000, 37)
    found = lists(users, items, 10, rough=True, item_shard=100_000)
    assert_same(found, lists(users, items, 10, rough=False, item_shard=100_000))


@both
def test_of_equal_items_the_first_are_listed(rough):
    # Every item twice, the copies far behind, and users to whom all items are alike.
    half = vectors(2000, 4)
    items = np.concatenate([half, half])
    users = np.concatenate([vectors(5, 5), np.zeros((2, 8), dtype=np.float32), -np.zeros((1, 8), np.float32)])
    found, scores = lists(users, items, 10, rough=rough)
    assert (found[:5, 1::2] == found[:5, ::2] + 2000).all()
    assert found[5:].tolist() == [list(range(10))] * 3
    assert (scores[5:] == 0).all()


@pytest.mark.parametrize("values", [None, 1])
@pytest.mark.parametrize("sizes", [(1, 64), (7, 640), (13, 4992), (64, 10_000)])
@both
def test_shards_change_nothing(values, sizes, rough):
    users, items = vectors(30, 6, values), vectors(5000, 7, values)
    barred = random_barred(30, 5000, 8)
    whole = lists(users, items, 15, barred=barred, rough=False)
    user_shard, item_shard = sizes
    cut = lists(users, items, 15, barred=barred, rough=rough, user_shard=user_shard, item_shard=item_shard)
    assert_same(cut, whole)


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


@both
def test_who_may_get_nothing_gets_nothing(rough):
    users, items = vectors(3, 12), vectors(300, 13)
    indptr = np.array([0, 0, 300, 598])
    barred = indptr, np.concatenate([np.arange(300), np.arange(298)])
    found, scores = lists(users, items, 4, barred=barred, rough=rough)
    assert (found[0] >= 0).all()
    assert found[1].tolist() == [-1] * 4
    assert (scores[1] == -np.inf).all()
    assert sorted(found[2, :2]) == [298, 299]
    assert found[2, 2:].tolist() == [-1, -1]


@both
def test_an_empty_catalogue_gives_empty_lists(rough):
    found, _ = lists(vectors(3, 14), vectors(0, 15), 4, rough=rough)
    assert found.tolist() == [[-1] * 4] * 3


@pytest.mark.parametrize(
    ("users", "options", "why"),
    [
        (vectors(3, 16), {"k": 0}, "positive"),
        (np.ones((3, 7), dtype=np.float32), {}, "7 dimensions"),
        (np.full((3, 8), np.nan, dtype=np.float32), {}, "finite"),
        (vectors(3, 16), {"rough": True, "device": "cuda"}, "only a CPU"),
        (vectors(3, 16), {"barred": (np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int64))}, "2 users"),
    ],
)
def test_what_cannot_be_computed_is_refused(users, options, why):
    with pytest.raises(ValueError, match=why):
        lists(users, vectors(10, 17), **{"k": 2, **options})


def raised_scores(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return exact scores and the largest that the products of the raised vectors in bfloat16 allow."""
    products = (raised_users(users)[0] @ Catalogue.of(items, rough=True).raised.T).double()
    return users.double() @ items.double().T, products + 2.0**-8 * products.abs()


# Positive vectors add up all errors of summation; numbers just above a middle all round one way.
@pytest.mark.parametrize(
    "kind", ["normal", "positive", "rounded one way", "different lengths", "tiny", "no rounding"]
)
@pytest.mark.parametrize("dimensions", [1, 64, 700])
def test_raised_products_in_bfloat16_bound_the_scores(kind, dimensions):
    generator = torch.Generator().manual_seed(38)
    users, items = (torch.randn(n, dimensions, generator=generator) for n in (60, 3000))
    if kind == "positive":
        users, items = users.abs(), items.abs()
    elif kind == "rounded one way":  # one bfloat16 has 7 bits after the first, so these lose nearly 2^-8
        users, items = (1 + 2.0**-8 * (1 - 2.0**-10) * torch.ones_like(v) for v in (users, items))
    elif kind == "different lengths":
        items *= 10 ** (6 * torch.rand(len(items), 1, generator=generator) - 3)
    elif kind == "tiny":
        users, items = 1e-30 * users, 1e-12 * items
    elif kind == "no rounding":
        users, items = users.round(), items.round()
    scores, bounds = raised_scores(users, items)
    assert (scores <= bounds).all()


def test_bounds_are_close_enough_to_prove_the_lists_of_random_users():
    rng = np.random.default_rng(39)
    users, items = (torch.from_numpy(rng.standard_normal((n, 64), dtype=np.float32)) for n in (300, 20_000))
    scores, bounds = raised_scores(users, items)
    for k in (10, 20, 100):
        last = scores.topk(k, dim=1).values[:, -1]
        others = bounds.topk(k + SPARE + k // 4, dim=1).values[:, -1]
        assert (last > others).double().mean() > 0.99


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

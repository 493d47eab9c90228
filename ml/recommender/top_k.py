"""The k best items for every user by the product of their vectors: exact, shard by shard, in bounded memory.

A shard of users meets a shard of the catalogue in one matrix product, whose best scores `top_k_search` finds.
Where the processor multiplies bfloat16, twice as fast as float32, that is tried first, and proves most lists.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ml.recommender.top_k_search import PIECES, ROUGH_WIDTH, Catalogue, Pair, best_of

#: Users and items of one product, by kind of device.
SHARDS = {"cpu": (256, 32_768), "cuda": (8_192, 65_536)}

Vectors = np.ndarray | Tensor
Barred = tuple[np.ndarray, np.ndarray]  # indptr, item positions


def top_k(
    users: Vectors | Iterable[Vectors],
    items: Vectors,
    k: int,
    *,
    barred: Barred | None = None,
    device: str = "cpu",
    rough: bool | None = None,
    user_shard: int | None = None,
    item_shard: int | None = None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Find each user's k items with the largest dot products; of equal scores the smaller position is first.

    A matrix product chooses a few more than k candidates. Their scores are then summed in float64 and rounded
    once to float32, which decides. A product in bfloat16 is enough for users of whom it bounds all other scores
    below the k-th; the rest, few unless many scores are equal, get one in float32. So order and scores depend
    neither on `rough` nor on the shards nor on the device, short of more than 8 items that stand within the
    float32 product's own rounding (about 1e-6 of the vectors' lengths) around place k.

    A CPU searches as many shards at once as torch has threads. Memory beside `items` (a CPU makes no copy of
    them, but for one in bfloat16 if `rough`), `users` and `barred`: for each shard at work, scores of 4 bytes x
    user_shard x item_shard (34 MB on a CPU, 2.1 GB on a GPU) and candidates of user_shard x (50,000 + 1,500 x
    (8 + 1.25 k)) bytes (25 MB and 0.8 GB at k = 20). Neither more users nor, past one shard, more items take more.

    Args:
        users: users x dimensions, or an iterable of such blocks, so that they never stand in memory together.
        items: items x dimensions; float32 and contiguous is used as it is.
        k: length of the lists.
        barred: CSR (indptr, indices): item positions that each user may not get, users counted over all blocks.
        device: where to compute.
        rough: whether to begin with products in bfloat16, on a CPU only; by default if `multiplies_bfloat16`.
        user_shard: users a product; by default what is fast on the device.
        item_shard: items a product, rounded up to whole pieces; likewise. At most 65,536 if `rough`.

    Yields:
        Position of the shard's first user; item positions (users x k, int64, best first, -1 past the end);
        scores (float32, -inf past the end).

    Raises:
        ValueError: a size is not positive, vectors are not finite or do not fit, the lists of barred items end
            before the users do, torch was told to multiply with less than float32, or `rough` on a GPU.

    """
    kind = torch.device(device).type
    user_shard, item_shard = user_shard or SHARDS[kind][0], item_shard or SHARDS[kind][1]
    if min(k, user_shard, item_shard) < 1:
        raise ValueError("k and the sizes of the shards must be positive")
    products = torch.backends.cuda.matmul if kind == "cuda" else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    if products.fp32_precision not in ("none", "ieee"):
        raise ValueError("top_k is exact: torch is set to multiply float32 matrices with fewer digits")
    if rough and kind != "cpu":
        raise ValueError("only a CPU begins with products in bfloat16: a GPU may sum them in bfloat16 too")
    rough = multiplies_bfloat16(device) if rough is None else rough
    catalogue = Catalogue.of(_vectors(items, device), rough)
    width = min(item_shard, ROUGH_WIDTH if rough else item_shard, max(1, len(catalogue.vectors)))
    width = -(-width // PIECES[0]) * PIECES[0]
    cores = torch.get_num_threads()
    threads = cores if kind == "cpu" else 1
    own = threading.local()

    def prepare() -> None:
        torch.set_num_threads(1)
        # glibc hands freed memory back to the system above twice the largest block (of up to 32 MB) freed before,
        # and each 4 KB of it cost a page fault when used again, up to a quarter of all time. So free a large one.
        torch.empty(24_000_000, dtype=torch.int8)
        own.room = torch.empty(user_shard, width, device=device)

    def search(first: int, shard: Tensor, cells: Pair | None) -> tuple[int, np.ndarray, np.ndarray]:
        positions, best = best_of(shard, catalogue, k, cells, own.room)
        return first, positions.cpu().numpy(), best.cpu().numpy()

    # One shard to a thread is faster than all threads on one shard, whose steps are mostly too short to divide.
    waiting: deque[Future[tuple[int, np.ndarray, np.ndarray]]] = deque()
    try:
        with ThreadPoolExecutor(threads, initializer=prepare) as pool:
            for first, block in _shards(users, user_shard):
                shard = _vectors(block, device).clone()  # the caller may fill the same block again
                if shard.shape[1] != catalogue.vectors.shape[1]:
                    raise ValueError(f"users have {shard.shape[1]} dimensions, items {catalogue.vectors.shape[1]}")
                cells = None if barred is None else _cells(barred, first, len(shard), device)
                waiting.append(pool.submit(search, first, shard, cells))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(cores)  # else threads that start later take the 1 over


def multiplies_bfloat16(device: str) -> bool:
    """Tell whether the device is a CPU that multiplies bfloat16: in AVX-512 or, where that is, in AMX."""
    return torch.device(device).type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def _shards(users: Vectors | Iterable[Vectors], size: int) -> Iterator[tuple[int, Vectors]]:
    """Cut the users' blocks; yield the position of the first user of each shard, and the shard."""
    first = 0
    for block in [users] if isinstance(users, np.ndarray | Tensor) else users:
        for begin in range(0, len(block), size):
            yield first + begin, block[begin : begin + size]
        first += len(block)


def _vectors(values: Vectors, device: str) -> Tensor:
    """Return float32 vectors on the device, without a copy where they are that already."""
    vectors = torch.as_tensor(values, dtype=torch.float32).to(device)
    if vectors.ndim != 2 or not bool(torch.isfinite(vectors.sum())):
        raise ValueError("vectors must be rows x dimensions, and finite")
    return vectors


def _cells(barred: Barred, first: int, n_users: int, device: str) -> Pair:
    """Return the row (within the shard) and item position of each cell that may not be chosen."""
    indptr, indices = barred
    if first + n_users >= len(indptr):
        raise ValueError(f"barred items are given for {len(indptr) - 1} users, but there are more")
    bounds = np.asarray(indptr[first : first + n_users + 1], dtype=np.int64)
    rows = np.repeat(np.arange(n_users), np.diff(bounds))
    columns = np.asarray(indices[bounds[0] : bounds[-1]], dtype=np.int64)
    return torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)

"""The k best items for every user by the product of their vectors: exact, shard by shard, in bounded memory.

A shard of users meets a shard of the catalogue in one matrix product. Of its scores only the maxima of pieces
of neighbouring items are compared: the k best items lie in the k best pieces, so only those are searched.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

PIECES = (64, 8, 1)  # neighbouring items that share one maximum, each a multiple of the next
#: Candidates kept beyond k until the scores are computed again with more digits.
SPARE = 8
#: Users and items of one product, by kind of device.
SHARDS = {"cpu": (256, 32_768), "cuda": (8_192, 65_536)}
_LAST = 2**32 - 1  # positions are below this
_NOTHING = -0x7F800001 * 2**32 + _LAST  # no key of a score of -inf is larger

Vectors = np.ndarray | Tensor
Barred = tuple[np.ndarray, np.ndarray]  # indptr, item positions
Pair = tuple[Tensor, Tensor]


def top_k(
    users: Vectors | Iterable[Vectors],
    items: Vectors,
    k: int,
    *,
    barred: Barred | None = None,
    device: str = "cpu",
    user_shard: int | None = None,
    item_shard: int | None = None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Find each user's k items with the largest dot products; of equal scores the smaller position is first.

    The matrix product chooses k + 8 candidates. Their scores are then summed in float64 and rounded once to
    float32, which decides: order and scores depend neither on the shards nor on the device, short of more than
    8 items that stand within the product's own rounding (about 1e-6 of the vectors' lengths) around place k.

    A CPU searches as many shards at once as torch has threads. Memory beside `items` (a CPU makes no copy of
    them), `users` and `barred`: for each shard at work, scores of 4 bytes x user_shard x item_shard (34 MB on a
    CPU, 2.1 GB on a GPU) and candidates of user_shard x (k + 8) x (1,500 + 12 x dimensions) bytes (16 MB and
    0.5 GB at k = 20 and 64 dimensions). Neither more users nor, past one shard, more items take more.

    Args:
        users: users x dimensions, or an iterable of such blocks, so that they never stand in memory together.
        items: items x dimensions; float32 and contiguous is used as it is.
        k: length of the lists.
        barred: CSR (indptr, indices): item positions that each user may not get, users counted over all blocks.
        device: where to compute.
        user_shard: users a product; by default what is fast on the device.
        item_shard: items a product, rounded up to whole pieces; likewise.

    Yields:
        Position of the shard's first user; item positions (users x k, int64, best first, -1 past the end);
        scores (float32, -inf past the end).

    Raises:
        ValueError: a size is not positive, vectors are not finite or do not fit, the lists of barred items end
            before the users do, or torch was told to multiply with less than float32.

    """
    kind = torch.device(device).type
    user_shard, item_shard = user_shard or SHARDS[kind][0], item_shard or SHARDS[kind][1]
    if min(k, user_shard, item_shard) < 1:
        raise ValueError("k and the sizes of the shards must be positive")
    products = torch.backends.cuda.matmul if kind == "cuda" else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    if products.fp32_precision not in ("none", "ieee"):
        raise ValueError("top_k is exact: torch is set to multiply float32 matrices with fewer digits")
    catalogue = _vectors(items, device)
    width = -(-min(item_shard, max(1, len(catalogue))) // PIECES[0]) * PIECES[0]
    cores = torch.get_num_threads()
    threads = cores if kind == "cpu" else 1
    own = threading.local()

    def prepare() -> None:
        torch.set_num_threads(1)
        own.scores = torch.empty(user_shard, width, device=device)

    def search(first: int, shard: Tensor, cells: Pair | None) -> tuple[int, np.ndarray, np.ndarray]:
        positions, best = _best(shard, catalogue, k, cells, own.scores[: len(shard)])
        return first, positions.cpu().numpy(), best.cpu().numpy()

    # One shard to a thread is faster than all threads on one shard, whose steps are mostly too short to divide.
    waiting: deque[Future[tuple[int, np.ndarray, np.ndarray]]] = deque()
    try:
        with ThreadPoolExecutor(threads, initializer=prepare) as pool:
            for first, block in _shards(users, user_shard):
                shard = _vectors(block, device).clone()  # the caller may fill the same block again
                if shard.shape[1] != catalogue.shape[1]:
                    raise ValueError(f"users have {shard.shape[1]} dimensions, items {catalogue.shape[1]}")
                cells = None if barred is None else _cells(barred, first, len(shard), device)
                waiting.append(pool.submit(search, first, shard, cells))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(cores)  # else threads that start later take the 1 over


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


def _best(users: Tensor, items: Tensor, k: int, cells: Pair | None, scores: Tensor) -> Pair:
    """Return one shard of users' positions and scores; `scores` is room for users x items of an item shard."""
    n_users, width = scores.shape
    keys = torch.full((n_users, k + SPARE), _NOTHING, device=users.device)
    for begin, end in pairwise([*range(0, len(items), width), len(items)]):
        torch.mm(users, items[begin:end].T, out=scores[:, : end - begin])
        scores[:, end - begin :] = -torch.inf
        if cells is not None:
            rows, columns = cells
            here = (columns >= begin) & (columns < end)
            scores[rows[here], columns[here] - begin] = -torch.inf
        keys = _largest(torch.cat([keys, _search(scores, begin, k + SPARE)], dim=1), k + SPARE)
    positions, best = _positions(keys), torch.full(keys.shape, -torch.inf, device=users.device)
    if len(items):
        vectors = items.index_select(0, positions.clamp(max=len(items) - 1).view(-1)).double()
        products = torch.bmm(vectors.view(n_users, -1, items.shape[1]), users.double()[:, :, None])
        best = best.where(keys <= _NOTHING, products.squeeze(2).float())
    order = _keys(best, positions).topk(k).indices
    best, positions = best.gather(1, order), positions.gather(1, order)
    return positions.where(best > -torch.inf, -1), best


def _search(scores: Tensor, begin: int, count: int) -> Tensor:
    """Return the keys of the `count` largest scores of each row, in any order; the first column is item `begin`.

    From coarse pieces to fine ones, keep the `count` pieces with the largest maxima, of equal maxima those of
    smallest position. Let t be the smallest maximum kept, a the number of pieces kept above it, b = count - a
    those at it. Each piece kept holds an item that scores t or more, so no item below t is needed. Items above
    t lie in the a pieces only, at least one in each; so at most b items at exactly t are needed, those of
    smallest position. An item at t in a piece that was not kept stands behind the items at t of all b pieces
    kept, as pieces are stretches of neighbours: b items go before it, and it is not needed.
    """
    n_rows, width = scores.shape
    row = width * torch.arange(n_rows, device=scores.device)[:, None]
    starts = torch.arange(0, width, PIECES[0], device=scores.device)
    keys = _largest(_keys(scores.view(n_rows, -1, PIECES[0]).amax(dim=2), starts), count)
    for size, finer in pairwise(PIECES):
        starts = _positions(keys)
        pieces = scores.view(-1, size).index_select(0, ((row + starts) // size).view(-1))
        starts = starts[:, :, None] + torch.arange(0, size, finer, device=scores.device)
        keys = _largest(_keys(pieces.view(*starts.shape, finer).amax(dim=3), starts).view(n_rows, -1), count)
    return keys - begin


def _largest(keys: Tensor, count: int) -> Tensor:
    """Return the `count` largest keys of each row, or all where there are fewer, in any order."""
    surplus = keys.shape[1] - count
    if surplus <= 0:
        return keys
    if keys.device.type == "cpu":  # torch's topk takes twice as long
        return torch.from_numpy(np.partition(keys.numpy(), surplus, axis=1)[:, surplus:])
    return keys.topk(count, dim=1, sorted=False).values


def _keys(scores: Tensor, positions: Tensor) -> Tensor:
    """Return integers that are larger for a larger score and, at equal scores, for a smaller position."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 makes -0.0 the same as 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # sign and magnitude to two's complement
    return (ordered.long() << 32) + (_LAST - positions)


def _positions(keys: Tensor) -> Tensor:
    """Return the positions that the keys were made of."""
    return _LAST - (keys & _LAST)

"""Nearest texts by cosine: compared with all where that fits, else through an index whose recall is measured.

The index is FAISS's inverted file (Jégou, Douze, Schmid 2011, without the compression): candidates are sorted into
cells by k-means, and a query visits the cells nearest to it. How many is raised until a sample of queries finds
enough of what an exact search finds.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

#: Comparisons (texts x candidates) that are made one by one: 100,000 x 100,000, a few minutes on two cores.
EXACT_PAIRS = 10_000_000_000
BLOCK_CELLS = 4_000_000
#: Last digits depend on the machine and must not decide who is a neighbour.
DECIMALS = 5
WANTED_RECALL = 0.95
SAMPLED_QUERIES = 500
TRAINED_PER_CELL = 64  # candidates that k-means sees
SEED = 0


@dataclass(frozen=True)
class Neighbours:
    """Each text's nearest candidates, nearest first, itself left out; of equals the first in the catalogue first.

    positions: texts x k, int64, -1 where there are no more with a positive cosine.
    cosines: texts x k, float32, 0 there.
    recall: share of a text's k nearest that the search finds: 1 if exact, else the mean over a sample of texts.
    visited: share of the index's cells that a query visits; 1 if exact.
    """

    positions: np.ndarray
    cosines: np.ndarray
    recall: float
    visited: float


def nearest(vectors: np.ndarray, is_candidate: np.ndarray, k: int, exact_pairs: int = EXACT_PAIRS) -> Neighbours:
    """Find the `k` nearest candidates of every text.

    Args:
        vectors: texts x dimensions, float32, of length 1 (or all 0 where there is no text).
        is_candidate: which texts may be a neighbour.
        k: how many are wanted.
        exact_pairs: texts x candidates above which the index is used.

    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    candidates = np.flatnonzero(is_candidate)
    everyone = np.arange(len(vectors))
    if is_exact(len(vectors), len(candidates), exact_pairs):
        return Neighbours(*exact(vectors, candidates, everyone, k), recall=1.0, visited=1.0)
    return _through_index(vectors, candidates, k)


def is_exact(n_texts: int, n_candidates: int, exact_pairs: int = EXACT_PAIRS) -> bool:
    """Return whether `nearest` compares all texts with all candidates; otherwise it goes through the index."""
    return n_texts * n_candidates <= exact_pairs


def index_recall(vectors: np.ndarray, is_candidate: np.ndarray, k: int) -> np.ndarray:
    """Return how well the index of `nearest` finds: for each text of its sample, the share of its k nearest.

    The index is made as for a search, so the mean is what that search's `recall` says. It costs k-means over
    TRAINED_PER_CELL candidates a cell, and an exact search for SAMPLED_QUERIES texts. Texts without neighbours
    are left out.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    return _tuned_index(vectors, np.flatnonzero(is_candidate), k)[1]


def exact(
    vectors: np.ndarray, candidates: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare the texts at `queries` with all candidates; return positions and cosines, queries x k."""
    positions = np.full((len(queries), k), -1, dtype=np.int64)
    cosines = np.zeros((len(queries), k), dtype=np.float32)
    kept = min(k, len(candidates))
    if not kept:
        return positions, cosines
    targets = vectors[candidates].T
    rows_at_once = max(1, BLOCK_CELLS // len(candidates))
    for begin in range(0, len(queries), rows_at_once):
        block = queries[begin : begin + rows_at_once]
        found = np.round(vectors[block] @ targets, DECIMALS)
        found[block[:, None] == candidates] = 0.0
        # Partition by a key that knows no equals: the cosine's digits, then the place in the catalogue.
        digits = np.rint(found * 10**DECIMALS).astype(np.int64)
        keys = digits * len(candidates) - np.arange(len(candidates))
        best = (
            np.argpartition(keys, -kept, axis=1)[:, -kept:] if kept < len(candidates) else np.argsort(keys, axis=1)
        )
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(keys, best, 1), axis=1), 1)
        values = np.take_along_axis(found, best, 1)
        positions[begin : begin + len(block), :kept] = np.where(values > 0, candidates[best], -1)
        cosines[begin : begin + len(block), :kept] = np.maximum(values, 0)
    return positions, cosines


def _through_index(vectors: np.ndarray, candidates: np.ndarray, k: int) -> Neighbours:
    index, shares = _tuned_index(vectors, candidates, k)
    positions, cosines = _search(index, vectors, candidates, np.arange(len(vectors)), k)
    return Neighbours(positions, cosines, _mean(shares), index.nprobe / index.nlist)


def _tuned_index(vectors: np.ndarray, candidates: np.ndarray, k: int) -> tuple[Any, np.ndarray]:
    """Return the index, visiting as many cells as the wanted recall takes, and each sampled text's share found."""
    import faiss

    rng = np.random.default_rng(SEED)
    targets = vectors[candidates]
    cells = max(1, round(2 * math.sqrt(len(candidates))))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed = SEED
    seen = rng.choice(len(targets), min(len(targets), TRAINED_PER_CELL * cells), replace=False)
    index.train(targets[np.sort(seen)])
    index.add(targets)
    sample = np.sort(rng.choice(len(vectors), min(len(vectors), SAMPLED_QUERIES), replace=False))
    expected, _ = exact(vectors, candidates, sample, k)
    index.nprobe = 1
    while True:
        found, _ = _search(index, vectors, candidates, sample, k)
        shares = shares_found(found, expected)
        if _mean(shares) >= WANTED_RECALL or index.nprobe >= cells:
            break
        index.nprobe = min(cells, 2 * index.nprobe)
    log.info(
        "index of %d candidates in %d cells: %d visited a query, recall of the %d nearest %.4f on %d texts",
        len(candidates), cells, index.nprobe, k, _mean(shares), len(shares),
    )  # fmt: skip
    return index, shares


def _search(
    index: Any, vectors: np.ndarray, candidates: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ask the index; positions and cosines as `exact` returns them."""
    values, places = index.search(
        vectors[queries], min(k + 1, len(candidates))
    )  # one more: itself may be among them
    values = np.round(np.where(places < 0, 0.0, values), DECIMALS).astype(np.float32)
    found = candidates[places]
    values[(found == queries[:, None]) | (values <= 0)] = 0.0
    order = np.lexsort((found, -values), axis=1)[:, :k]
    values, found = np.take_along_axis(values, order, 1), np.take_along_axis(found, order, 1)
    short = k - values.shape[1]
    values = np.pad(values, ((0, 0), (0, max(0, short))))
    found = np.pad(found, ((0, 0), (0, max(0, short))))
    return np.where(values > 0, found, -1), values


def shares_found(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return for each query that has neighbours (queries x k, -1 for none) the share of them that was found."""
    shares = [
        len(due & set(own)) / len(due)
        for own, wanted in zip(found.tolist(), expected.tolist(), strict=True)
        if (due := set(wanted) - {-1})
    ]
    return np.array(shares, dtype=np.float64)


def _mean(shares: np.ndarray) -> float:
    """Return the recall: nothing due is nothing missed."""
    return float(shares.mean()) if len(shares) else 1.0

"""Which items' words are alike: the only source that knows a new item."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ml.recommender.item_to_item import BLOCK_CELLS, largest_per_row
from ml.recommender.settings import BlendSettings


def text_similarities(vectors: np.ndarray, is_candidate: np.ndarray, settings: BlendSettings) -> sparse.csr_matrix:
    """Return items x items: cosine^power of each item's nearest candidates, itself left out.

    Args:
        vectors: items x dimensions, float32, of length 1 (or all 0 where there is no text).
        is_candidate: whether each item may be recommended.
        settings: number of neighbours and the power.

    """
    n_items = len(vectors)
    candidates = np.flatnonzero(is_candidate)
    targets = vectors[candidates].T
    block_rows = max(1, BLOCK_CELLS // max(1, len(candidates)))
    blocks = []
    for begin in range(0, n_items, block_rows):
        # Rounded, so that the last bits, which depend on the machine, cannot decide who is a neighbour.
        cosine = np.round((vectors[begin : begin + block_rows] @ targets).astype(np.float64), 5)
        rows = np.arange(len(cosine))
        itself = np.searchsorted(candidates, begin + rows)
        itself = np.minimum(itself, len(candidates) - 1)
        is_here = candidates[itself] == begin + rows
        cosine[rows[is_here], itself[is_here]] = 0.0
        kept = largest_per_row(cosine, cosine, settings.text_neighbours).tocoo()
        blocks.append(
            sparse.csr_matrix(
                (kept.data**settings.text_power, (kept.row, candidates[kept.col])), shape=(len(cosine), n_items)
            )
        )
    similar = sparse.vstack(blocks, format="csr")
    similar.sort_indices()
    return similar

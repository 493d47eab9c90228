"""Which items' words are alike: the only source that knows a new item."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ml.recommender.settings import BlendSettings
from ml.text_encoder.neighbours import nearest


def text_similarities(vectors: np.ndarray, is_candidate: np.ndarray, settings: BlendSettings) -> sparse.csr_matrix:
    """Return items x items: cosine^power of each item's nearest candidates, itself left out.

    Args:
        vectors: items x dimensions, float32, of length 1 (or all 0 where there is no text).
        is_candidate: whether each item may be recommended.
        settings: number of neighbours and the power.

    """
    found = nearest(vectors, is_candidate, settings.text_neighbours)
    rows, places = np.nonzero(found.positions >= 0)
    cosine = found.cosines[rows, places].astype(np.float64)
    similar = sparse.csr_matrix(
        (cosine**settings.text_power, (rows, found.positions[rows, places])), shape=(len(vectors), len(vectors))
    )
    similar.sort_indices()
    return similar

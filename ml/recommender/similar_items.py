"""The items most like an item, whoever looks at it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.recommender.blend import Blend
from ml.recommender.dataset import Catalogue

BOUGHT_TOGETHER, SIMILAR_TEXT = "bought_together", "similar_text"


def similar_items(blend: Blend, catalogue: Catalogue, length: int) -> dict[str, Any]:
    """Return the rows of similar_items as columns: up to `length` active items for every item, best first."""
    similar = blend.similarity.tocoo()
    score = np.round(similar.data, 6)
    order = np.lexsort((similar.col, -score, similar.row))
    order = order[score[order] > 0]
    item, other, score = similar.row[order], similar.col[order], score[order]
    rank = np.arange(len(item)) - np.searchsorted(item, item) + 1
    kept = rank <= length
    item, other, score, rank = item[kept], other[kept], score[kept], rank[kept]
    together = np.asarray(blend.item_to_item[item, other]).ravel() if len(item) else np.zeros(0)
    return {
        "item_id": catalogue.item_ids[item],
        "rank": rank,
        "similar_item_id": catalogue.item_ids[other],
        "score": score,
        "reason_code": np.where(2 * together >= score, BOUGHT_TOGETHER, SIMILAR_TEXT).astype(object),
    }

"""Items that hardly anybody has acted on: what their look-alikes say of them, and how far they are lifted.

No count speaks for a new item, so each list of counted evidence puts it last, and it stays new. Two things help:

    links of look-alikes   what the items most like it in text are linked to counts as its own, as in CB2CF (Barkan
                           et al., 2019), but without a model in between
    a lift                 added to the score, fading with the square of what is known; as large as costs at most
                           MAX_COST of the lists' NDCG on purchases that the model has not seen, and as gives new
                           items at most MAX_PLACES times the places that chance would
"""

from __future__ import annotations

import logging

import numpy as np
from scipy import sparse

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.tune import Targets

log = logging.getLogger(__name__)

LOOK_ALIKES = 30  # of each item, those that stand in for it
#: At least this new: nobody or one weighed action is behind it.
IS_NEW = 0.25
LIFTS = tuple(round(0.1 * n, 1) for n in range(16))
MAX_COST = 0.035
MAX_PLACES = 2.5


def newness(support: np.ndarray) -> np.ndarray:
    """Return how new items are: 1 without any support, a quarter with a support of 1, falling with its square."""
    return np.asarray(1.0 / (1.0 + support) ** 2)


def look_alikes(text_similar: sparse.csr_matrix, support: np.ndarray) -> sparse.csr_matrix:
    """Return items x items: the share with which each known item (row) stands in for each item (column).

    Args:
        text_similar: items x items, from `text_similarities`: a row's nearest candidates.
        support: of each item; those without any stand in for nothing.

    Returns:
        Columns sum to 1, or to 0 where nothing known is alike; at most LOOK_ALIKES a column.

    """
    alike = text_similar.maximum(text_similar.T).multiply((support > 0)[None, :]).tocsr()
    # A row is now an item and its known look-alikes: keep the nearest, of equal ones those that come first.
    rows = np.repeat(np.arange(alike.shape[0]), np.diff(alike.indptr))
    order = np.lexsort((alike.indices, -alike.data, rows))
    place = np.arange(len(rows)) - alike.indptr[rows]
    kept = order[place < LOOK_ALIKES]
    nearest = sparse.csr_matrix((alike.data[kept], (rows[kept], alike.indices[kept])), shape=alike.shape)
    total = np.asarray(nearest.sum(axis=1)).ravel()
    share = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return (sparse.diags(share) @ nearest).T.tocsr()


def choose_lift(
    items: np.ndarray,
    scores: np.ndarray,
    new: np.ndarray,
    by_chance: float,
    targets: Targets,
    n_items: int,
    k: int,
) -> float:
    """Return the largest lift within MAX_COST and MAX_PLACES; 0 where there is no new item to judge by.

    Args:
        items: users x candidates, item positions, -1 for none.
        scores: theirs, by a model that has not seen the targets; -inf for none.
        new: their newness.
        by_chance: mean newness of all items that may be recommended: of a list's places where chance fills them.
        targets: what row n's user chose.
        n_items: of the catalogue.
        k: length of the lists.

    """
    if not (new[items >= 0] >= IS_NEW).any():
        return 0.0
    figures, places = {}, {}
    for lift in LIFTS:
        order = np.argsort(-(scores + lift * new), axis=1, kind="stable")[:, :k]
        listed = np.take_along_axis(items, order, axis=1)
        hits = hits_at(listed, targets.row, targets.item, n_items)
        figures[lift] = float(ndcg(hits, targets.per_user, k).mean())
        places[lift] = float(np.take_along_axis(new, order, axis=1)[listed >= 0].mean())
    fits = [
        lift
        for lift in LIFTS
        if figures[lift] >= (1.0 - MAX_COST) * figures[0.0] and places[lift] <= MAX_PLACES * by_chance
    ]
    chosen = max(fits, default=0.0)
    log.info("new items are lifted by %.1f: NDCG@%d %.4f, without %.4f; %.1f%% of the places, without %.1f%%",
             chosen, k, figures[chosen], figures[0.0], 100 * places[chosen], 100 * places[0.0])  # fmt: skip
    return chosen

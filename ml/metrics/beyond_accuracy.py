"""What accuracy does not say of top-k lists: how much of the catalogue they show, how evenly, how varied."""

from __future__ import annotations

import numpy as np

from ml.metrics.ranking import coverage

HEAD_SHARE = 0.8  # of purchases: the items that make it are the head, all others the tail
CHUNK_VALUES = 16_000_000  # float64 values of text vectors held at a time: 128 MB


def gini(lists: np.ndarray, k: int, n_candidates: int) -> float:
    """Return the Gini coefficient of how often each item that may be recommended stands in a user's first k.

    0: all items equally often; near 1: a few items take all places (Fleder and Hosanagar, 2009, use it so).
    Items that are never shown count with 0. Not a number where no place is filled.

    Args:
        lists: users x length item positions, best first; -1 is no item.
        k: places that count.
        n_candidates: number of items that may be recommended.

    Raises:
        ValueError: more different items are shown than may be.

    """
    shown = _shown(lists, k)
    _, times = np.unique(shown, return_counts=True)
    if len(times) > n_candidates:
        raise ValueError(f"{len(times)} different items are shown, but only {n_candidates} may be")
    if not len(shown):
        return float("nan")
    # The zeros come first in ascending order and add nothing to the sum.
    rank = np.arange(n_candidates - len(times) + 1, n_candidates + 1)
    return float(((2 * rank - n_candidates - 1) * np.sort(times)).sum() / (n_candidates * len(shown)))


def novelty(lists: np.ndarray, k: int, item_users: np.ndarray, n_users: int) -> float:
    """Return the mean self-information, in bits, of the first k: -log2(share of users who have the item).

    Averaged over a user's list, then over users with a list (Vargas and Castells, 2011, popularity-based item
    novelty without rank discount). An item nobody has counts as if one user had it, which bounds it by
    log2(n_users). Not a number where all lists are empty.

    Args:
        lists: users x length item positions; -1 is no item.
        k: places that count.
        item_users: for each item, the number of users who have it in training.
        n_users: number of users in training, at least 1.

    """
    bits = np.log2(n_users) - np.log2(np.maximum(item_users, 1))
    top = lists[:, :k]
    there = top >= 0
    length = there.sum(axis=1)
    some = length > 0
    per_user = np.where(there, bits[top], 0.0).sum(axis=1)[some] / length[some]
    return float(per_user.mean()) if len(per_user) else float("nan")


def is_tail(item_counts: np.ndarray, head_share: float = HEAD_SHARE) -> np.ndarray:
    """Return whether each item is outside the head.

    The head is the shortest list of items, most bought first (equal ones by position), that together make
    `head_share` of what was bought.
    """
    order = np.argsort(-item_counts, kind="stable")
    together = np.cumsum(item_counts[order])
    # A hair below the share, as 0.8 times a whole number may be rounded up.
    needed = head_share * (1 - 1e-12) * together[-1] if len(together) else 0.0
    is_head = np.zeros(len(item_counts), dtype=bool)
    is_head[order[: np.searchsorted(together, needed) + 1]] = True
    return ~is_head


def tail_share(lists: np.ndarray, k: int, item_counts: np.ndarray) -> float:
    """Return the share of the filled places among the first k that items outside the head (`is_tail`) take.

    Not a number where no place is filled.
    """
    shown = _shown(lists, k)
    return float(is_tail(item_counts)[shown].mean()) if len(shown) else float("nan")


def intra_list_diversity(lists: np.ndarray, k: int, vectors: np.ndarray) -> float:
    """Return the mean over users of the mean 1 - cosine over all pairs of items in the first k.

    This is Ziegler et al.'s (2005) intra-list similarity turned round and averaged. Users with fewer than two
    items have no pair and are left out; not a number where that is everyone. An item whose vector is zeros is
    like no other: its distance is 1.

    Args:
        lists: users x length item positions; -1 is no item.
        k: places that count.
        vectors: items x dimensions, of any length.

    """
    top = lists[:, :k]
    length = (top >= 0).sum(axis=1)
    top, length = top[length > 1], length[length > 1]
    if not len(top):
        return float("nan")
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norm > 0, norm, 1.0)
    total = 0.0
    chunk = max(1, CHUNK_VALUES // max(1, top.shape[1] * unit.shape[1]))
    for begin in range(0, len(top), chunk):
        rows, n = top[begin : begin + chunk], length[begin : begin + chunk]
        own = np.where((rows >= 0)[:, :, None], unit[rows], 0.0).astype(np.float64)
        # The square of a sum of vectors is their squares plus every pair's product twice.
        pairs = (own.sum(axis=1) ** 2).sum(axis=1) - (own**2).sum(axis=(1, 2))
        total += float((1.0 - pairs / (n * (n - 1))).sum())
    return total / len(top)


def beyond_accuracy(
    lists: np.ndarray,
    k: int,
    n_items_candidates: int,
    train_item_counts: np.ndarray,
    n_users: int,
    vectors: np.ndarray,
) -> dict[str, float]:
    """Return coverage, gini, novelty (bits), tail_share and diversity, named like "coverage@10".

    Args:
        lists: users x length item positions, best first, -1 past a list's end.
        k: places that count, at least 1.
        n_items_candidates: number of items that may be recommended.
        train_item_counts: for each item, the number of users who have it in training: the purchases that the
            head is measured by, and what makes an item novel.
        n_users: number of users in training.
        vectors: items x dimensions: of the items' texts.

    Raises:
        ValueError: k or a number of users or items is not positive, or more items are shown than may be.

    """
    if min(k, n_items_candidates, n_users) < 1:
        raise ValueError("k, the number of candidates and the number of users must be positive")
    return {
        f"coverage@{k}": coverage(lists, k, n_items_candidates),
        f"gini@{k}": gini(lists, k, n_items_candidates),
        f"novelty@{k}": novelty(lists, k, train_item_counts, n_users),
        f"tail_share@{k}": tail_share(lists, k, train_item_counts),
        f"diversity@{k}": intra_list_diversity(lists, k, vectors),
    }


def _shown(lists: np.ndarray, k: int) -> np.ndarray:
    """Return the items in all users' first k, one entry a filled place."""
    top = lists[:, :k]
    return np.asarray(top[top >= 0])

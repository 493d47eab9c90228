"""What belongs together in a shop, as pairs of texts: the training data of the encoder.

    bought in one basket, bought next, looked at and then bought    text of an item <-> text of an item
    title and description of one item                               title <-> the rest of its text
    searched for, then looked at or bought                          query -> text of an item

Items with the same text are one. A query is an anchor only: it is held against items, no item against queries, as
two queries may mean the same. A shop without queries has the other kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from ml.recommender.dataset import ActionLog
from ml.recommender.item_to_item import count_cooccurrences
from ml.recommender.settings import BlendSettings
from ml.text_encoder.fine_tuning.queries import Searches, query_pairs

#: A description shorter than this (characters) says too little to be paired with its title.
MIN_DESCRIPTION = 30
#: Weight of a title with its description, where an item's pairs with others weigh 1 in sum.
DESCRIPTION_WEIGHT = 0.2


@dataclass(frozen=True)
class Pairs:
    """Texts and what belongs together.

    The first `n_items` texts are those of items (items of one text are one), the next are queries, the rest are
    titles and descriptions. `owner` says for each text which of the first two it is of: itself, but for titles and
    descriptions. `weight` is texts x texts, each row summing to 1 (0 where a text has no partner), with entries in
    both directions but for queries, which have rows and no columns. `count` is how much each item text was chosen,
    `asked` how often each query was answered.
    """

    texts: list[str]
    owner: np.ndarray
    weight: sparse.csr_matrix
    count: np.ndarray
    asked: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def n_items(self) -> int:
        """Number of different item texts."""
        return len(self.count)

    @property
    def n_owners(self) -> int:
        """Number of item texts and queries."""
        return len(self.count) + len(self.asked)

    def number_of(self, texts: list[str] | np.ndarray) -> np.ndarray:
        """Return the number of each item text; -1 for an empty one."""
        place = {text: number for number, text in enumerate(self.texts[: self.n_items])}
        return np.array([place.get(text, -1) for text in texts], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of different pairs."""
        either = self.weight.maximum(self.weight.T)
        return int(sparse.triu(either, k=1).nnz)


@dataclass(frozen=True)
class ItemTexts:
    """Titles and whole texts of the catalogue's items, by item position."""

    titles: np.ndarray
    texts: np.ndarray


def text_numbers(texts: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the different texts, sorted, and each item's place among them; empty texts are none (-1)."""
    different, place = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    if len(different) and different[0] == "":
        return different[1:].tolist(), place - 1
    return different.tolist(), place


def description_pairs(items: ItemTexts, number: np.ndarray, n_texts: int) -> tuple[list[str], np.ndarray]:
    """Return title and description, one after the other, of each text that has both, and the text they are of."""
    _, first = np.unique(number, return_index=True)
    parts: list[str] = []
    owner: list[int] = []
    for item in first[number[first] >= 0].tolist():
        title, text = str(items.titles[item]).strip(), str(items.texts[item])
        rest = text.removeprefix(title).lstrip(" .")
        if title and text.startswith(title) and len(rest) >= MIN_DESCRIPTION:
            parts += [title, rest]
            owner += [int(number[item])] * 2
    return parts, np.array(owner, dtype=np.int64)


def item_weights(
    actions: ActionLog, number: np.ndarray, n_texts: int, settings: BlendSettings
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return how strongly item texts go together (symmetric, no diagonal), and how often each is chosen."""
    has_text = np.flatnonzero(number >= 0)
    to_text = sparse.csr_matrix(
        (np.ones(len(has_text)), (has_text, number[has_text])), shape=(len(number), n_texts)
    )
    counts, support = count_cooccurrences(actions, np.ones(actions.n_items, dtype=bool), settings)
    weights = (to_text.T @ counts @ to_text).tocsr()
    weights = weights.maximum(weights.T)
    weights = (weights - sparse.diags(weights.diagonal())).tocsr()
    weights.eliminate_zeros()
    return weights, np.asarray(to_text.T @ support).ravel()


def rows_to_one(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by its sum; empty rows stay empty."""
    total = np.asarray(weights.sum(axis=1)).ravel()
    return (sparse.diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)) @ weights).tocsr()


def find_pairs(
    actions: ActionLog, items: ItemTexts, settings: BlendSettings, searches: Searches | None = None
) -> Pairs:
    """Gather the pairs.

    Args:
        actions: what the encoder may know; nothing later is read.
        items: texts of the catalogue, by the item positions of `actions`.
        settings: how actions are counted as pairs.
        searches: likewise what it may know, where the shop logs searches.

    """
    texts, number = text_numbers(items.texts)
    weights, count = item_weights(actions, number, len(texts), settings)
    queries: list[str] = []
    asked, answers = np.zeros(0), sparse.csr_matrix((0, len(texts)))
    if searches is not None:
        queries, answers, asked = query_pairs(searches, number, texts, settings.strengths)
    parts, owner = description_pairs(items, number, len(texts))
    title = np.arange(0, len(parts), 2)
    ones = np.full(len(title), DESCRIPTION_WEIGHT)
    within = sparse.csr_matrix((ones, (title, title + 1)), shape=(len(parts), len(parts)))
    n_owners = len(texts) + len(queries)
    whole = sparse.vstack((rows_to_one(weights), rows_to_one(answers)))
    whole.resize(n_owners, n_owners)
    return Pairs(
        texts + queries + parts,
        np.concatenate((np.arange(n_owners), owner)),
        sparse.block_diag((whole, within + within.T), format="csr"),
        count,
        asked,
    )

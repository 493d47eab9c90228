"""What was chosen after a search, as pairs of a query and an item's text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
from scipy import sparse

#: A query of fewer users may tell of a person, and says little: it is not read.
MIN_USERS_ASKING = 3


@dataclass(frozen=True)
class Searches:
    """Searches after which an item was chosen, one entry each.

    query: lower-cased words. user: id of who asked. item: position of the item chosen. choice: what became of it,
    an event type. time: when, in days since 1970-01-01; the choice was made on the same day.
    """

    query: np.ndarray
    user: np.ndarray
    item: np.ndarray
    choice: np.ndarray
    time: np.ndarray

    def before(self, day: float) -> Searches:
        """Return the searches up to the beginning of a day (whole days: a choice may come minutes later)."""
        kept = self.time < day
        return Searches(*(values[kept] for values in (self.query, self.user, self.item, self.choice, self.time)))


def read_searches(connection: duckdb.DuckDBPyConnection) -> Searches:
    """Return the answered searches of the features; items by their position in the order of ids."""
    rows = connection.execute(
        """
        with items as (
            select item_id, row_number() over (order by item_id) - 1 as place from features.features.item_features
        )
        select
            lower(searches.query) as query, searches.user_id, items.place, searches.choice,
            epoch_us(searches.event_at) / 86400e6 as days
        from features.features.user_searches as searches
        inner join items on searches.chosen_item_id = items.item_id
        order by searches.event_at, searches.event_id
        """
    ).fetchnumpy()
    words = {
        name: np.asarray(np.ma.filled(rows[name], ""), dtype=object) for name in ("query", "user_id", "choice")
    }
    return Searches(
        words["query"],
        words["user_id"],
        np.asarray(rows["place"], dtype=np.int64),
        words["choice"],
        np.asarray(rows["days"], dtype=np.float64),
    )


def query_pairs(
    searches: Searches, number: np.ndarray, item_texts: list[str], strengths: Mapping[str, float]
) -> tuple[list[str], sparse.csr_matrix, np.ndarray]:
    """Return what was asked, how strongly each query goes with each item text, and how often it was asked.

    Left out are queries of fewer than MIN_USERS_ASKING users, and those that are an item's text word for word.

    Args:
        searches: what the encoder may know.
        number: item text of each item, -1 for none.
        item_texts: the texts by number.
        strengths: of a choice, by event type; a choice without one does not count.

    Returns:
        The queries, sorted; queries x item texts, sums of strengths; times asked and answered.

    """
    strength = np.array([strengths.get(choice, 0.0) for choice in searches.choice])
    answer = number[searches.item] if len(searches.item) else np.zeros(0, dtype=np.int64)
    counts = (strength > 0) & (answer >= 0)
    queries, row = np.unique(searches.query[counts].astype(str), return_inverse=True)
    _, user = np.unique(searches.user[counts].astype(str), return_inverse=True)
    askers = np.bincount(np.unique(np.column_stack((row, user)), axis=0)[:, 0], minlength=len(queries))
    is_kept = (askers >= MIN_USERS_ASKING) & ~np.isin(queries, item_texts) if len(queries) else np.zeros(0, bool)
    weight = sparse.csr_matrix((strength[counts], (row, answer[counts])), shape=(len(queries), len(item_texts)))[
        is_kept
    ]
    return queries[is_kept].tolist(), weight.tocsr(), np.bincount(row, minlength=len(queries))[is_kept]

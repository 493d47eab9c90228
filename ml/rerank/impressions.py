"""How often a user was shown an item without an answer, where the shop logs it."""

from __future__ import annotations

import duckdb
import numpy as np
from scipy import sparse


def load_impressions(
    connection: duckdb.DuckDBPyConnection, n_users: int, n_items: int, at_least: int
) -> sparse.csr_matrix:
    """Return users x items: times shown in the last 14 days, where that is `at_least`; empty without the table.

    Positions are those of `dataset.load_shop`. A shop that logs no impressions has no rows.
    """
    there = connection.execute(
        """
        select count(*) from information_schema.tables
        where table_schema = 'features' and table_name = 'user_impressions'
        """
    ).fetchall()[0][0]
    if not there or at_least <= 0:
        return sparse.csr_matrix((n_users, n_items), dtype=np.int64)
    rows = connection.execute(
        """
        with users as (
            select user_id, row_number() over (order by user_id) - 1 as place from features.features.user_features
        ),
        items as (
            select item_id, row_number() over (order by item_id) - 1 as place from features.features.item_features
        )
        select users.place as user_place, items.place as item_place, shown.impressions_14d
        from features.features.user_impressions as shown
        inner join users using (user_id)
        inner join items using (item_id)
        where shown.impressions_14d >= ?
        """,
        [at_least],
    ).fetchnumpy()
    user, item, times = (np.asarray(values, dtype=np.int64) for values in rows.values())
    return sparse.csr_matrix((times, (user, item)), shape=(n_users, n_items))

"""What the re-rank knows of items besides scores and texts: category, brand, price band, as codes."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np

NAMES = ("category", "brand", "price_band")


@dataclass(frozen=True)
class Attributes:
    """Of the catalogue's items, by position.

    `codes` holds a code an item for each of NAMES, -1 where it has none; `names` what the codes stand for.
    `category` is the first level of `category_paths` ("" for none).
    """

    item_ids: np.ndarray
    category_paths: np.ndarray
    codes: dict[str, np.ndarray]
    names: dict[str, np.ndarray]

    @classmethod
    def of(cls, item_ids: np.ndarray, category_paths: np.ndarray, **values: np.ndarray) -> Attributes:
        """Number the values of each of NAMES; "" is none."""
        codes, names = {}, {}
        for name in NAMES:
            found, code = np.unique(np.asarray(values[name], dtype=object), return_inverse=True)
            some = found != ""
            codes[name] = np.where(some[code], np.cumsum(some)[code] - 1, -1)
            names[name] = found[some]
        return cls(item_ids, category_paths, codes, names)


def load_attributes(connection: duckdb.DuckDBPyConnection) -> Attributes:
    """Read the attributes of all items, sorted by id, as `dataset.load_shop` sorts them."""
    rows = connection.execute(
        """
        select
            item_id,
            coalesce(category_path, '') as category_path,
            coalesce(category, '') as category,
            coalesce(brand, '') as brand,
            coalesce(price_band, '') as price_band
        from features.features.item_features
        order by item_id
        """
    ).fetchnumpy()
    columns = {name: np.asarray(values, dtype=object) for name, values in rows.items()}
    return Attributes.of(columns["item_id"], columns["category_path"], **{name: columns[name] for name in NAMES})

"""How alike the items of a pool are: text, category, brand, price band; positive semi-definite by construction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.rerank.settings import RerankSettings

#: Of the text vectors, those along which texts differ most: what is left of the cosine is nearly all of it.
DIMENSIONS = 64
#: Share of each item that is its own alone: two items told by the same words still are two.
OWN_SHARE = 0.02


@dataclass(frozen=True)
class Likeness:
    """What the likeness of two items is a sum of.

    `text` is (items + 1) x dimensions, weighted, the last row zeros: that of no item (-1). `groups` are codes of
    items + 1 (-1 for none) with their weights.
    """

    text: np.ndarray
    groups: tuple[tuple[np.ndarray, float], ...]

    @classmethod
    def of(cls, vectors: np.ndarray, codes: dict[str, np.ndarray], settings: RerankSettings) -> Likeness:
        """Weigh what the catalogue has.

        Args:
            vectors: items x dimensions, of length 1 or 0.
            codes: category, brand and price_band of each item by name; -1 is none.
            settings: the weights.

        """
        wanted = {name: getattr(settings, f"{name}_weight") for name in ("category", "brand", "price_band")}
        there = {name: weight for name, weight in wanted.items() if weight and (codes[name] >= 0).any()}
        text_weight = settings.text_weight if vectors.any() else 0.0
        total = text_weight + sum(there.values())
        scale = 1.0 / total if total else 0.0
        text = np.sqrt(text_weight * scale) * principal(np.asarray(vectors, dtype=np.float32), DIMENSIONS)
        with_none = np.concatenate([text, np.zeros((1, text.shape[1]))]).astype(np.float32)
        groups = ((np.append(codes[name], -1), weight * scale) for name, weight in there.items())
        return cls(with_none, tuple(groups))

    def within(self, items: np.ndarray) -> np.ndarray:
        """Return how alike the items of each row are: rows x n x n float32, 1 on the diagonal.

        Cells of no item (-1) are like nothing. Costs rows x n^2 x dimensions multiplications, and as many values
        of memory as rows x n x (n + dimensions).
        """
        text = self.text[items]
        alike = text @ text.transpose(0, 2, 1)
        for codes, weight in self.groups:
            code = codes[items]
            # None is unlike none.
            other = np.where(code >= 0, code, -2)
            alike += np.multiply(code[:, :, None] == other[:, None, :], np.float32(weight))
        alike *= np.float32(1.0 - OWN_SHARE)
        diagonal = np.arange(items.shape[1])
        alike[:, diagonal, diagonal] = 1.0
        return alike


def principal(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """Return vectors' coordinates along the `dimensions` directions that hold most of their squared length.

    Inner products of these are the best approximation of that rank (Eckart and Young, 1936); no mean is taken off.
    Costs rows x columns^2 multiplications, columns^2 values of memory.
    """
    if vectors.shape[1] <= dimensions:
        return vectors
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return np.asarray(vectors @ directions[:, -dimensions:])

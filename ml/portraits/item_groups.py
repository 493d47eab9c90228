"""Categories for a shop that gives none: items alike in words, found once and kept.

Where less than half of the items have a category, k-means on the items' text vectors groups them, and each group
is named by the words that tell it from the others (class-based TF-IDF over its titles). Groups last: on the days
after, an item goes to the nearest of the centroids that the earlier day left in `item_groups.npz`, as long as
the text model is the same; they are found anew only where there are none.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from expectations.tables import outputs_dir
from ml.portraits.evidence import Evidence
from ml.portraits.key_phrases import key_phrases
from ml.portraits.sensitive import is_sensitive
from ml.text_encoder import store
from qianmian.step import write_atomically

ENOUGH_CATEGORIES = 0.5  # of the items: then the shop's own stand
ITEMS_A_GROUP, MOST_GROUPS = 100, 20
MOST_FITTED = 20_000
_FILE = "item_groups.npz"


@dataclass(frozen=True)
class ItemGroups:
    """Groups of items by what their texts say: unit centroids (groups x dimensions), names, text model."""

    points: np.ndarray
    names: list[str]
    text_version: str

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """Return each item's group."""
        return np.asarray((vectors @ self.points.T).argmax(axis=1))


def with_categories(evidence: Evidence, lake: Path) -> tuple[Evidence, dict[str, Any]]:
    """Return the evidence with a category for each item, made up where the shop has too few, and a report.

    Raises:
        StepError: vectors are needed, and the embed step did not run.

    """
    goods, as_of = evidence.goods, evidence.as_of.isoformat()
    path = outputs_dir(lake, as_of) / _FILE
    if (goods.shelf != "").mean() >= ENOUGH_CATEGORIES:
        path.unlink(missing_ok=True)
        return evidence, {"categories": "the shop's"}
    version = store.chosen_version(lake, as_of)
    vectors = store.read(lake, version, goods.text_hashes)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    groups = _earlier(lake, as_of, version)
    start = "earlier day" if groups else "afresh"
    if groups is None:
        groups = _find(vectors, [str(title) for title in goods.titles], version)
    content = io.BytesIO()
    np.savez(content, points=groups.points, names=np.array(groups.names), text_version=np.array(version))
    write_atomically(path, content.getvalue())
    names = np.array([name if not is_sensitive(name) else "" for name in groups.names], dtype=object)
    category = names[groups.of(vectors)]
    report = {"categories": "groups of items alike in words", "groups": len(groups.names), "start": start}
    return replace(evidence, goods=replace(goods, category=category, shelf=category)), report


def _earlier(lake: Path, as_of: str, version: str) -> ItemGroups | None:
    days = sorted(
        p.parent.name.removeprefix("as_of_date=") for p in outputs_dir(lake, "*").parent.glob(f"*/{_FILE}")
    )
    for day in reversed([day for day in days if day < as_of]):
        with np.load(outputs_dir(lake, day) / _FILE) as kept:
            if str(kept["text_version"]) == version:
                return ItemGroups(kept["points"], kept["names"].tolist(), version)
    return None


def _find(vectors: np.ndarray, titles: list[str], version: str) -> ItemGroups:
    k = int(np.clip(len(vectors) // ITEMS_A_GROUP, 1, MOST_GROUPS))
    fitted = np.unique(np.linspace(0, len(vectors) - 1, MOST_FITTED).astype(int))
    with threadpool_limits(limits=1):  # sums in one order: the same bits in every run
        points = KMeans(k, n_init=3, random_state=0).fit(vectors[fitted]).cluster_centers_
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    group = (vectors @ points.T).argmax(axis=1)
    # A group is one class, its titles what is said of it: each title counts once.
    phrases = key_phrases(
        [""] * k, ((int(g), title) for g, title in zip(group, titles, strict=True)), 2, len(titles)
    )
    names: list[str] = []
    for number, text in enumerate(phrases):
        name = text.replace(", ", " & ") or f"group {number + 1}"
        names.append(name if name not in names else f"{name} ({number + 1})")
    return ItemGroups(points, names, version)

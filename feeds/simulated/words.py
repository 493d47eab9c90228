"""The shop's vocabulary: category trees, brands, styles and review sentences, read from words.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class Leaf:
    """One category that holds items. `goes_with` is the number of the leaf often bought next, or -1."""

    tree: int
    path: str
    noun: dict[str, str]
    language: str
    price: float
    spread: float
    rhythm_days: int
    peak_month: int
    season: float
    goes_with: int
    specs: tuple[str, ...]
    brands: tuple[int, ...]


@dataclass(frozen=True)
class Vocabulary:
    """All words; leaves and brands are referred to by their number."""

    leaves: tuple[Leaf, ...]
    brands: tuple[str, ...]
    styles: tuple[dict[str, Any], ...]
    reviews: dict[str, dict[str, list[str]]]
    regions: dict[str, list[str]]


@cache
def vocabulary() -> Vocabulary:
    """Read words.toml."""
    words = tomllib.loads(files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))
    numbers: dict[tuple[str, str], int] = {}
    for tree in words["tree"]:
        for leaf in tree["leaf"]:
            numbers[tree["name"], leaf["path"]] = len(numbers)
    leaves: list[Leaf] = []
    brands: list[str] = []
    for tree_number, tree in enumerate(words["tree"]):
        brand_numbers = tuple(range(len(brands), len(brands) + len(tree["brands"])))
        brands += tree["brands"]
        for leaf in tree["leaf"]:
            next_leaf = leaf.get("goes_with")
            leaves.append(
                Leaf(
                    tree=tree_number,
                    path=f"{tree['name']} > {leaf['path']}",
                    noun={language: leaf[language] for language in LANGUAGES},
                    language=tree["language"],
                    price=float(leaf["price"]),
                    spread=leaf["spread"],
                    rhythm_days=leaf.get("rhythm_days", 0),
                    peak_month=leaf.get("peak_month", 1),
                    season=leaf.get("season", 0.0),
                    goes_with=numbers[tree["name"], next_leaf] if next_leaf else -1,
                    specs=tuple(leaf["specs"]),
                    brands=brand_numbers,
                )
            )
    return Vocabulary(tuple(leaves), tuple(brands), tuple(words["style"]), words["reviews"], words["regions"])

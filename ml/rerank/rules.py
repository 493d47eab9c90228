"""The shop's own rules, as data: what never to show, what to show at a place, what to push.

A rule is about one item, one branch of the category tree, one brand, or where several of these are given, about
what is all of them. `block` keeps items from every list, `pin` puts one item at a place, `boost` multiplies
scores, within what the model already considers. A block outweighs a pin; what a user may not be shown no pin
shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import duckdb
import numpy as np

from ml.rerank.attributes import Attributes

BLOCK, PIN, BOOST = "block", "pin", "boost"


@dataclass(frozen=True)
class Rule:
    """One active rule, as in the feature table `active_rules`; an empty surface is every surface."""

    rule_id: str
    action: str
    item_id: str | None = None
    category_path: str | None = None
    brand: str | None = None
    surface: str | None = None
    position: int | None = None
    factor: float | None = None

    @property
    def version(self) -> str:
        """Name of the rule as it now reads: a changed rule has another."""
        told = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return f"rule-{hashlib.sha256(told.encode()).hexdigest()[:10]}"

    def covers(self, attributes: Attributes) -> np.ndarray:
        """Return which items it is about, one boolean an item; none where it names nothing."""
        wanted = []
        if self.item_id is not None:
            wanted.append(attributes.item_ids == self.item_id)
        if self.brand is not None:
            names = attributes.names["brand"]
            codes = np.flatnonzero(names == self.brand)
            wanted.append(np.isin(attributes.codes["brand"], codes))
        if self.category_path is not None:
            below = f"{self.category_path} > "
            wanted.append(
                np.array(
                    [path == self.category_path or path.startswith(below) for path in attributes.category_paths],
                    dtype=bool,
                )
            )
        return np.logical_and.reduce(wanted) if wanted else np.zeros(len(attributes.item_ids), dtype=bool)


@dataclass(frozen=True)
class Rules:
    """The rules of a surface, by item position.

    `blocked_by` and `boosted_by` are places in `rules`, -1 for none (of several boosts the one that weighs most);
    `factor` is the product of all boosts. `pins` are (place from 0, item, place in `rules`), in the order in which
    they take their places.
    """

    rules: tuple[Rule, ...]
    blocked_by: np.ndarray
    boosted_by: np.ndarray
    factor: np.ndarray
    pins: tuple[tuple[int, int, int], ...]

    @property
    def blocked(self) -> np.ndarray:
        """Which items no list may hold."""
        return np.asarray(self.blocked_by >= 0)

    @classmethod
    def of(cls, rules: Sequence[Rule], surface: str, attributes: Attributes) -> Rules:
        """Turn the rules that hold on `surface` into arrays; of equal ones the first by id comes first."""
        mine = tuple(sorted((r for r in rules if r.surface in (None, "", surface)), key=lambda rule: rule.rule_id))
        n_items = len(attributes.item_ids)
        blocked_by, boosted_by = np.full(n_items, -1), np.full(n_items, -1)
        factor, most = np.ones(n_items), np.zeros(n_items)
        pins = []
        for number, rule in enumerate(mine):
            covered = rule.covers(attributes)
            if rule.action == BLOCK:
                blocked_by[covered & (blocked_by < 0)] = number
            elif rule.action == BOOST and rule.factor is not None and rule.factor > 0:
                weight = abs(np.log(rule.factor))
                stronger = covered & (weight > most)
                boosted_by[stronger], most[stronger] = number, weight
                factor[covered] *= rule.factor
            elif rule.action == PIN and rule.position is not None and rule.item_id is not None:
                pins += [(max(0, rule.position - 1), int(item), number) for item in np.flatnonzero(covered)]
        taken: set[int] = set()
        kept = []
        for place, item, number in sorted(pins, key=lambda pin: (pin[0], mine[pin[2]].rule_id)):
            if item not in taken and blocked_by[item] < 0:
                kept.append((place, item, number))
                taken.add(item)
        return cls(mine, blocked_by, boosted_by, factor, tuple(kept))


def load_rules(connection: duckdb.DuckDBPyConnection) -> list[Rule]:
    """Read the rules that hold on the day after the features', the page's; a shop without the feed has none."""
    there = connection.execute(
        """
        select count(*) from information_schema.tables
        where table_schema = 'features' and table_name = 'active_rules'
        """
    ).fetchall()[0][0]
    if not there:
        return []
    rows = connection.execute(
        """
        select rule_id, action, item_id, category_path, brand, surface, position, factor
        from features.features.active_rules
        order by rule_id
        """
    ).fetchall()
    return [Rule(*row) for row in rows]

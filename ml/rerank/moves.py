"""The trail: what each rule did to which item of a user, one row a rule and item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

RULES = (
    "already_bought", "dismissed", "returned", "not_on_sale", "seen_too_often", "blocked", "pinned", "boosted",
    "brand_cap", "category_cap", "variety", "tail_share", "exploration",
)  # fmt: skip
ACTIONS = ("removed", "moved_down", "moved_up", "inserted")
REMOVED, DOWN, UP, INSERTED = range(len(ACTIONS))
NO_RANK = 0


@dataclass(frozen=True)
class Moves:
    """Rows: user and item positions, `rule` and `action` as places in RULES and ACTIONS.

    `shop_rule` is a place in the surface's `Rules.rules`, -1 for a rule of the re-rank itself; ranks count from 1,
    NO_RANK is none; `figure` is the number that `detail` tells of.
    """

    user: np.ndarray
    item: np.ndarray
    rule: np.ndarray
    action: np.ndarray
    shop_rule: np.ndarray
    rank_before: np.ndarray
    rank_after: np.ndarray
    figure: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @staticmethod
    def joined(parts: Sequence[Moves]) -> Moves:
        """Put rows one after the other."""
        none = np.zeros(0, dtype=np.int64)
        empty = Moves(none, none, none, none, none, none, none, np.zeros(0))
        some = [part for part in parts if len(part)] or [empty]
        return Moves(*[np.concatenate([getattr(part, f.name) for part in some]) for f in fields(Moves)])

    def in_order(self) -> Moves:
        """Sort by user, item and the rule's name: the key of recommendation_filters."""
        names = np.argsort(np.argsort(np.array(RULES)))
        order = np.lexsort((names[self.rule], self.item, self.user))
        return Moves(*[getattr(self, f.name)[order] for f in fields(Moves)])


def rows(
    where: np.ndarray,
    users: np.ndarray,
    items: np.ndarray,
    rule: str,
    action: np.ndarray | int,
    before: np.ndarray,
    after: np.ndarray,
    shop_rule: np.ndarray | int = -1,
    figure: np.ndarray | float = 0.0,
) -> Moves:
    """Return a row for each cell of `where` (users x candidates); others are of its shape, or one value."""
    cells = np.nonzero(where)

    def at(values: np.ndarray | int | float) -> np.ndarray:
        return np.asarray(np.broadcast_to(np.asarray(values), where.shape)[cells])

    return Moves(
        users[cells[0]], items[cells], np.full(len(cells[0]), RULES.index(rule)), at(action), at(shop_rule),
        at(before), at(after), at(figure).astype(np.float64),
    )  # fmt: skip


def details(moves: Moves) -> list[str]:
    """Say in numbers what each rule saw."""
    said = {
        "already_bought": "bought before, in a shop where few come back for the same",
        "dismissed": "dismissed by the user",
        "returned": "sent back, all of it",
        "not_on_sale": "not active, or none in stock",
        "seen_too_often": "shown {0:.0f} times in 14 days without an answer",
        "blocked": "the shop's rule blocks it",
        "pinned": "the shop's rule puts it at place {0:.0f}",
        "boosted": "score times {0:g}",
        "brand_cap": "at most {0:.0f} places for one brand",
        "category_cap": "at most {0:.0f} places for one category",
        "variety": "likeness {0:.2f} to the nearest item above it",
        "tail_share": "at least {0:.0f} places for items outside the head",
        "exploration": "drawn from {0:.0f} candidates beyond the list",
    }
    forms = [said[name] for name in RULES]
    return [
        forms[rule].format(figure) for rule, figure in zip(moves.rule.tolist(), moves.figure.tolist(), strict=True)
    ]

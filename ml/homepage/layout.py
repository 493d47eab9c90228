"""Who stands where: modules choose their items one after another, then are put in the order of their value.

Pure arithmetic on arrays with one entry a row; nothing here reads a table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.homepage.candidates import Candidates
from ml.homepage.settings import AD, FOR_YOU, HERO, ITEM_MODULES, MODULES, PageSettings

NO_ROW = -1


@dataclass(frozen=True)
class Listed:
    """The users' lists, by user and rank: all arrays have one entry a row."""

    user: np.ndarray
    item: np.ndarray
    probability: np.ndarray
    is_exploration: np.ndarray

    def rows_of(self, user: np.ndarray, item: np.ndarray, n_items: int) -> np.ndarray:
        """Return the row of each user's item, NO_ROW where it is not in the list."""
        return find_rows(self.user * n_items + self.item, user * n_items + item)


@dataclass(frozen=True)
class Placed:
    """What stands on the pages of a shard: one entry a slot, by user and slot.

    `module` is a place in MODULES. `item` is a position, of a campaign for hero_campaign, and counts from 0 for
    ad. `row` is the list's row that it is, NO_ROW where it is none.
    """

    user: np.ndarray
    slot: np.ndarray
    module: np.ndarray
    module_rank: np.ndarray
    rank: np.ndarray
    item: np.ndarray
    kind: np.ndarray
    evidence: np.ndarray
    row: np.ndarray
    chance: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


def choose_items(
    candidates: dict[str, list[Candidates]], listed: Listed, n_items: int, settings: PageSettings
) -> dict[str, tuple[Candidates, np.ndarray]]:
    """Let the modules choose, each from what those before it left.

    Args:
        candidates: of each module but for_you, by user, best first. Of several lists of candidates the next one is
            for users whom the one before could not give the module's fewest.
        listed: the users' lists; what is in one comes first in any module, in the list's order.
        n_items: items of the catalogue.
        settings: sizes, and how many rows of the list a module may take.

    Returns:
        of each module what it shows and the list's row of each (or NO_ROW), by user, best first.

    """
    listed_keys = listed.user * n_items + listed.item
    # Kept for for_you from the start: what is shown to learn stays where its propensity was logged.
    reserved = listed_keys[listed.is_exploration]
    taken = np.zeros(0, dtype=np.int64)
    chosen = {}
    for module in ITEM_MODULES:
        if module == FOR_YOU:
            whole = np.zeros(len(listed.user), dtype=np.int64)
            pools = [Candidates(listed.user, listed.item, whole, whole)]
            barred, most_listed = taken, len(listed.user)
        else:
            pools = candidates.get(module, [])
            barred, most_listed = np.concatenate((taken, reserved)), settings.list_rows_a_module
        parts: list[tuple[Candidates, np.ndarray]] = []
        served = np.zeros(0, dtype=np.int64)
        for pool in pools:
            mine = pool.of(~np.isin(pool.user, served))
            part = _best(mine, barred, listed, n_items, settings.sizes[module], most_listed)
            served = np.concatenate((served, part[0].user))
            parts.append(part)
        chosen[module] = _joined(parts)
        shown = chosen[module][0]
        taken = np.concatenate((taken, shown.user * n_items + shown.item))
    return chosen


def _best(
    pool: Candidates, barred: np.ndarray, listed: Listed, n_items: int, sizes: tuple[int, int], most_listed: int
) -> tuple[Candidates, np.ndarray]:
    """Return each user's best candidates and their rows in the list; of no user fewer or more than `sizes` say."""
    least, most = sizes
    keys = pool.user * n_items + pool.item
    is_first = np.zeros(len(pool), dtype=bool)
    is_first[np.unique(keys, return_index=True)[1]] = True
    kept = np.flatnonzero(is_first & ~np.isin(keys, barred))
    pool, row = pool.of(kept), listed.rows_of(pool.user[kept], pool.item[kept], n_items)
    order = np.lexsort((np.arange(len(pool)), np.where(row == NO_ROW, len(listed.user), row), pool.user))
    pool, row = pool.of(order), row[order]
    # Rows of the list stand first, so a place past the allowed ones is one too many of them.
    kept = np.flatnonzero((row == NO_ROW) | (place_in_group(pool.user) < most_listed))
    pool, row = pool.of(kept), row[kept]
    kept = np.flatnonzero(place_in_group(pool.user) < most)
    pool, row = pool.of(kept), row[kept]
    users, size = np.unique(pool.user, return_counts=True)
    kept = np.flatnonzero(np.isin(pool.user, users[size >= least]))
    return pool.of(kept), row[kept]


def _joined(parts: list[tuple[Candidates, np.ndarray]]) -> tuple[Candidates, np.ndarray]:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Candidates(none, none, none, none), none
    columns = [
        np.concatenate([getattr(part, name) for part, _ in parts]) for name in ("user", "item", "kind", "evidence")
    ]
    rows = np.concatenate([row for _, row in parts])
    order = np.argsort(columns[0], kind="stable")
    return Candidates(*(column[order] for column in columns)), rows[order]


def arrange(
    chosen: dict[str, tuple[Candidates, np.ndarray]],
    chances: dict[str, np.ndarray],
    users: np.ndarray,
    settings: PageSettings,
) -> Placed:
    """Put each user's modules in the order of their value, and number the slots.

    A module is worth the sum of its items' chances, each times the chance that its place in the module is looked
    at; with every later module looked at less by the same factor, the sum over the page is greatest where the
    modules stand by falling worth (rearrangement inequality). The hero is the page's first, ads its last.

    Args:
        chosen: what each module shows, hero_campaign too, and the list's row of each.
        chances: of each of these, that the user buys.
        users: all users of the shard, who get the ads.
        settings: persistence, ads.

    """
    ads = np.tile(np.arange(settings.ads), len(users))
    whole = np.zeros(len(ads), dtype=np.int64)
    empty = (Candidates(np.repeat(users, settings.ads), ads, whole, whole), np.full(len(ads), NO_ROW))
    everything = {**chosen, AD: empty}
    names = [name for name in MODULES if name in everything]
    parts = [everything[name][0] for name in names]
    user, item, kind, evidence = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("user", "item", "kind", "evidence")
    )
    row = np.concatenate([everything[name][1] for name in names])
    chance = np.concatenate([chances[name] if name != AD else np.zeros(len(ads)) for name in names])
    module = np.repeat([MODULES.index(name) for name in names], [len(part) for part in parts])
    rank = np.concatenate([place_in_group(part.user) for part in parts])

    pages = user * len(MODULES) + module
    worth_of = np.zeros((int(user.max(initial=-1)) + 1) * len(MODULES))
    # Rows are added in their order: the sums are the same each time.
    np.add.at(worth_of, pages, chance * settings.item_persistence**rank)
    worth_of = np.round(worth_of, 12)
    there, first = np.unique(pages, return_index=True)
    by_kind = np.select(
        [module[first] == MODULES.index(HERO), module[first] == MODULES.index(AD)], [0, 2], default=1
    )
    order = np.lexsort((module[first], -worth_of[there], by_kind, user[first]))
    module_rank_of = np.empty(len(there), dtype=np.int64)
    module_rank_of[order] = place_in_group(user[first][order])
    module_rank = module_rank_of[np.searchsorted(there, pages)]

    order = np.lexsort((rank, module_rank, user))
    user, module_rank, rank = user[order], module_rank[order], rank[order]
    looked_at = settings.module_persistence**module_rank * settings.item_persistence**rank
    return Placed(
        user, place_in_group(user) + 1, module[order], module_rank + 1, rank + 1, item[order], kind[order],
        evidence[order], row[order], chance[order], np.round(chance[order] * looked_at, 9),
    )  # fmt: skip


def place_in_group(group: np.ndarray) -> np.ndarray:
    """Return each entry's place, from 0, among the entries of its group, which lie together."""
    if not len(group):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
    lengths = np.diff(np.concatenate((starts, [len(group)])))
    return np.arange(len(group)) - np.repeat(starts, lengths)


def find_rows(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where each wanted key stands among different `keys`, NO_ROW where it does not."""
    if not len(keys):
        return np.full(len(wanted), NO_ROW, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    row = order[at]
    return np.where(keys[row] == wanted, row, NO_ROW)

"""What a visit leaves in the log: search, impressions, clicks, views, favorites, carts, purchases, dismissals.

Drawn backwards from what was bought: what is bought was put in the cart before, viewed before that, and shown
first. What else is looked at comes from the same tastes, less sharply.
"""

from __future__ import annotations

import numpy as np

from feeds.simulated.catalogue import Catalogue
from feeds.simulated.choice import best_by_chance, item_utility
from feeds.simulated.event_rows import (
    CART,
    CLICK,
    DISMISS,
    FAVORITE,
    IMPRESSION,
    NONE,
    PURCHASE,
    SEARCH,
    VIEW,
    EventRows,
    event_rows,
    joined,
)
from feeds.simulated.history import History, Visits
from feeds.simulated.people import Shard
from feeds.simulated.randomness import stream
from feeds.simulated.words import LANGUAGES, vocabulary

LOOKING_SHARPNESS = 0.6  # of the utilities, against 1 when buying
MOST_SHOWN = 12
SEARCH_SHARE, HOME_SHARE = 0.3, 0.25  # visits that begin with a search; that begin on the home page
CLICK_SHARE, VIEW_SHARE, FAVORITE_SHARE, CART_SHARE, DISMISS_SHARE = 0.6, 0.92, 0.06, 0.09, 0.015
OTHER_PLATFORM_SHARE = 0.15
#: Median seconds before an event of each type, and the sigma of the log; nobody waits longer than LONGEST_GAP.
GAP_MEDIAN = {IMPRESSION: 1.6, CLICK: 9, VIEW: 12, SEARCH: 5, CART: 25, FAVORITE: 14, PURCHASE: 50, DISMISS: 6}
GAP_SPREAD, LONGEST_GAP = 0.7, 600.0
HOUR_SPREAD = 2.5


def visit_events(history: History, day: int) -> EventRows:
    """Return the events of all visits of one shard and day."""
    shard, catalogue, visits = history.shard, history.catalogue, history.visits(day)
    n = len(visits.user)
    rng = stream(shard.seed, "funnel", shard.index, day)
    bought = np.zeros(n, dtype=int)
    np.add.at(bought, visits.visit, 1)
    considered = np.clip(np.maximum(bought, 1 + rng.poisson(1.2, n)), 0, 6)
    shown_count = np.clip(considered + 2 + rng.poisson(1.8, n), 0, MOST_SHOWN)
    shown = _items_shown(rng, history, visits, day)
    is_shown = (np.arange(MOST_SHOWN)[None, :] < shown_count[:, None]) & (shown >= 0)
    is_considered = is_shown & (np.arange(MOST_SHOWN)[None, :] < considered[:, None])
    is_bought = is_shown & (np.arange(MOST_SHOWN)[None, :] < bought[:, None])
    chance = rng.random((6, n, MOST_SHOWN))
    place = np.argsort(np.argsort(np.where(is_shown, chance[0], 2.0), axis=1), axis=1)

    is_viewed = is_considered & ((chance[1] < VIEW_SHARE) | is_bought)
    happened = {
        IMPRESSION: (is_shown, 1 + place),
        CLICK: (is_considered & (chance[2] < CLICK_SHARE), 20 + 10 * place),
        VIEW: (is_viewed, 21 + 10 * place),
        FAVORITE: (is_viewed & (chance[3] < FAVORITE_SHARE), 22 + 10 * place),
        CART: (is_bought | (is_viewed & (chance[4] < CART_SHARE)), 23 + 10 * place),
        DISMISS: (is_shown & ~is_considered & (chance[5] < DISMISS_SHARE), 180 + place),
        PURCHASE: (is_bought, 200 + place),
    }
    searches = np.flatnonzero(rng.random(n) < SEARCH_SHARE)
    no_slot, first = np.full_like(searches, NONE), np.zeros_like(searches)
    steps = [np.stack([searches, no_slot, first, np.full_like(searches, SEARCH)])]
    for type_, (where, order) in happened.items():
        rows, slots = np.nonzero(where)
        steps.append(np.stack([rows, slots, order[rows, slots], np.full_like(rows, type_)]))
    of_visit, of_slot, step, type_of = np.concatenate(steps, axis=1)
    in_order = np.lexsort((step, of_visit))
    of_visit, of_slot, type_of = of_visit[in_order], of_slot[in_order], type_of[in_order]
    item = np.where(of_slot >= 0, shown[of_visit, of_slot], NONE)

    second = _times(rng, shard, visits, of_visit, type_of, day)
    platform = np.where(rng.random(n) < OTHER_PLATFORM_SHARE, rng.integers(0, 4, n), shard.platform[visits.user])
    from_home = rng.random(n) < HOME_SHARE
    has_rank = from_home[of_visit] & np.isin(type_of, (IMPRESSION, CLICK, VIEW, CART, PURCHASE))
    query = np.full(len(of_visit), "", dtype=object)
    query[type_of == SEARCH] = _queries(rng, shard, catalogue, visits, searches, shown)
    return joined(
        [
            event_rows(
                len(of_visit),
                millisecond=(second * 1000).astype(int),
                visitor=visits.user[of_visit],
                is_known=~visits.is_anonymous[of_visit],
                type=type_of,
                item=item,
                session=of_visit,
                campaign=visits.campaign[of_visit],
                rank=np.where(has_rank, 1 + place[of_visit, of_slot], NONE),
                platform=platform[of_visit],
                quantity=_quantities(history, day, of_visit, type_of, item),
                price=np.where(type_of == PURCHASE, catalogue.today(day).price[item], np.nan),
                query=query,
            )
        ]
    )


def _items_shown(rng: np.random.Generator, history: History, visits: Visits, day: int) -> np.ndarray:
    """Return each visit's items, those bought first, then those looked at, NONE-padded: [visits x MOST_SHOWN]."""
    shown = np.full((len(visits.user), MOST_SHOWN), NONE)
    by_leaf = history.catalogue.today(day).by_leaf
    for number in np.unique(visits.leaf):
        rows, offered = np.flatnonzero(visits.leaf == number), by_leaf[number]
        if len(offered) == 0:
            continue
        utility = LOOKING_SHARPNESS * item_utility(
            history.shard, visits.user[rows], history.catalogue, offered, day
        )
        buys = np.flatnonzero(np.isin(visits.visit, rows))
        utility[np.searchsorted(rows, visits.visit[buys]), np.searchsorted(offered, visits.item[buys])] += 1e6
        order = best_by_chance(rng, utility, MOST_SHOWN)
        shown[rows, : order.shape[1]] = offered[order]
    return shown


def _times(
    rng: np.random.Generator, shard: Shard, visits: Visits, of_visit: np.ndarray, type_of: np.ndarray, day: int
) -> np.ndarray:
    """Return each event's second of the day; a visit ends before midnight and starts after its user registered."""
    median = np.zeros(max(GAP_MEDIAN) + 1)
    median[list(GAP_MEDIAN)] = list(GAP_MEDIAN.values())
    gap = median[type_of] * np.exp(GAP_SPREAD * rng.standard_normal(len(of_visit)))
    gap = np.minimum(gap, LONGEST_GAP)
    elapsed = np.cumsum(gap)
    length = np.bincount(of_visit, weights=gap, minlength=len(visits.user))
    before = np.concatenate([[0.0], np.cumsum(length)[:-1]])
    hour = shard.hour[visits.user] + HOUR_SPREAD * rng.standard_normal(len(visits.user))
    start = np.minimum((hour % 24.0) * 3600, 86_399 - length)
    newcomer = shard.registered[visits.user] == day
    start = np.where(newcomer, np.maximum(start, shard.registered_second[visits.user] + 30), start)
    return start[of_visit] + elapsed - before[of_visit]


def _quantities(
    history: History, day: int, of_visit: np.ndarray, type_of: np.ndarray, item: np.ndarray
) -> np.ndarray:
    """Return the pieces bought by each purchase, NONE for other events."""
    visits, items = history.visits(day), len(history.catalogue.leaf)
    bought = visits.visit * items + visits.item  # a visit buys an item once
    order = np.argsort(bought)
    quantity = np.full(len(item), NONE)
    rows = np.flatnonzero(type_of == PURCHASE)
    found = np.searchsorted(bought[order], of_visit[rows] * items + item[rows])
    quantity[rows] = history.quantities(day)[order[found]]
    return quantity


def _queries(
    rng: np.random.Generator,
    shard: Shard,
    catalogue: Catalogue,
    visits: Visits,
    searches: np.ndarray,
    shown: np.ndarray,
) -> list[str]:
    """Return what is typed in each visit that begins with a search: the thing, at times with brand or style."""
    words, draw = vocabulary(), rng.random((len(searches), 2))
    queries = []
    for visit, (form, wording) in zip(searches.tolist(), draw.tolist(), strict=True):
        language = LANGUAGES[shard.language[visits.user[visit]]]
        noun = words.leaves[visits.leaf[visit]].noun[language]
        wanted = int(shown[visit, 0])
        if form < 0.5 or wanted < 0:
            queries.append(noun if language == "zh" else noun.lower())
            continue
        styles = words.styles[catalogue.style[wanted, 0]][language]
        extra = words.brands[catalogue.brand[wanted]] if form < 0.75 else styles[int(wording * len(styles))]
        queries.append(f"{extra}{noun}" if language == "zh" and form >= 0.75 else f"{extra} {noun}".lower())
    return queries

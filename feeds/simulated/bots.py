"""Machines with an account: crawlers that read the catalogue around the clock, and bots that click.

They carry ids, consent and a platform like anyone's; what gives them away is their pace and their volume.
"""

from __future__ import annotations

import numpy as np

from feeds.simulated.catalogue import Catalogue
from feeds.simulated.event_rows import CLICK, IMPRESSION, VIEW, EventRows, event_rows, joined
from feeds.simulated.people import CRAWLER, HUMAN, Shard
from feeds.simulated.randomness import stream

ACTIVE_SHARE = 0.08  # of its days on which a bot is at work
FEWEST, MOST = 260, 520
GAP = (0.7, 2.2)  # seconds between two requests within a burst
CRAWLER_BURSTS, CLICK_BOT_BURSTS = 24, 3


def bot_events(catalogue: Catalogue, shard: Shard, day: int) -> EventRows:
    """Return what the shard's machines do on one day."""
    n = shard.count(day)
    rng = stream(shard.seed, "bots at work", shard.index, day)
    at_work = rng.random(n) < ACTIVE_SHARE
    # Not on the day of registration: an account does nothing before it is there.
    working = np.flatnonzero(at_work & (shard.kind[:n] != HUMAN) & (shard.registered[:n] < day))
    active = np.flatnonzero(catalogue.today(day).is_active)
    parts = [_one_bot(rng, shard, int(bot), active) for bot in working]
    nobody = event_rows(0, millisecond=np.zeros(0, int), visitor=np.zeros(0, int), type=np.zeros(0, int))
    return joined([nobody, *parts])


def _one_bot(rng: np.random.Generator, shard: Shard, bot: int, active: np.ndarray) -> EventRows:
    is_crawler = shard.kind[bot] == CRAWLER
    actions = int(rng.integers(FEWEST, MOST))
    bursts = CRAWLER_BURSTS if is_crawler else CLICK_BOT_BURSTS
    # Bursts start in slots of their own, so that they never overlap: a crawler has one every hour.
    slot = 86_400 / bursts
    burst = np.arange(actions) * bursts // actions
    gap = rng.uniform(*GAP, actions)
    elapsed = np.cumsum(gap)
    first = np.searchsorted(burst, np.arange(bursts))
    within = elapsed - elapsed[first][burst]
    second = (np.arange(bursts) * slot + rng.random(bursts) * 0.3 * slot)[burst] + within
    start = int(rng.integers(len(active)))
    if is_crawler:
        item = active[(start + np.arange(actions)) % len(active)]
        kind = np.full(actions, VIEW)
    else:
        item = active[(start + np.arange(actions) // 2 % 12) % len(active)]
        kind = np.where(np.arange(actions) % 2 == 0, IMPRESSION, CLICK)
    return event_rows(
        actions,
        millisecond=(second * 1000).astype(int),
        visitor=np.full(actions, bot),
        type=kind,
        item=item,
        platform=np.full(actions, shard.platform[bot]),
    )

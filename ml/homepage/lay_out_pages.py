"""Lay out each user's home page for one day.

Reads the features, home_recommendations and similar_items, writes homepage_layouts. Nothing is scored again: the
list's own chances, and rates measured on the shop's last 7 days, say what a module is worth to a user.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from ml.homepage.campaigns import Campaigns, choose_campaigns, load_campaigns
from ml.homepage.candidates import IN_REGION, IN_SEGMENT, candidates
from ml.homepage.chances import ModuleRates, item_chances, last_chances, measure_rates
from ml.homepage.inputs import Lists, PageInputs
from ml.homepage.layout import NO_ROW, Listed, Placed, arrange, choose_items
from ml.homepage.rows import page_rows
from ml.homepage.settings import FOR_YOU, HERO, ITEM_MODULES, MODULES, POPULAR, PageSettings
from ml.recommender.outputs import write_output
from qianmian.step import run_step, step_parser

log = logging.getLogger(__name__)


def lay_out_shard(
    inputs: PageInputs, campaigns: Campaigns, rates: ModuleRates, users: tuple[int, int], settings: PageSettings
) -> tuple[Placed, Lists]:
    """Lay out the pages of a run of users, first and last given; return them with the lists behind them."""
    first, last = users
    inputs.open_shard(first, last)
    lists = inputs.lists()
    shard = np.arange(first, last + 1)
    listed = Listed(
        lists.user,
        lists.item,
        lists.columns["probability"].astype(np.float64),
        lists.columns["is_exploration"].astype(bool),
    )
    floor = last_chances(listed, shard)
    pools = {
        module: [candidates(inputs, module, settings)]
        for module in ITEM_MODULES
        if module not in (FOR_YOU, POPULAR)
    }
    popular = candidates(inputs, POPULAR, settings)
    pools[POPULAR] = [popular.of(popular.kind == kind) for kind in (IN_REGION, IN_SEGMENT)]
    chosen = choose_items(pools, listed, len(inputs.item_ids), settings)
    chances = {
        module: item_chances(
            row, shown.user - first, listed, floor, rates.of(module, shown.kind), inputs.usual_floor
        )
        for module, (shown, row) in chosen.items()
    }
    heroes, hero_chance = choose_campaigns(inputs, campaigns, listed, floor, shard, settings)
    chosen[HERO], chances[HERO] = (heroes, np.full(len(heroes), NO_ROW)), hero_chance
    return arrange(chosen, chances, shard, settings), lists


def lay_out_pages(args: argparse.Namespace, settings: PageSettings | None = None) -> dict[str, Any]:
    """Write the day's pages and report how they came about."""
    settings = settings or PageSettings()
    inputs = PageInputs(args.lake, args.as_of, settings)
    users_with: Counter[str] = Counter()
    first_module: Counter[str] = Counter()
    try:
        log.info("%d users, %d items, %d rules", len(inputs.user_ids), len(inputs.item_ids), inputs.n_rules)
        rates = measure_rates(inputs, settings)
        campaigns = load_campaigns(inputs)

        def batches() -> Iterator[dict[str, Any]]:
            for users in inputs.shards():
                placed, lists = lay_out_shard(inputs, campaigns, rates, users, settings)
                begins = placed.rank == 1
                users_with.update(dict(enumerate_counts(placed.module[begins])))
                tops = begins & (placed.module_rank == 1)
                first_module.update(dict(enumerate_counts(placed.module[tops])))
                log.info("pages for %d of %d users", users[1] + 1, len(inputs.user_ids))
                if len(placed):
                    yield {**page_rows(inputs, campaigns, placed, lists), "model_version": settings.version}

        rows = write_output(args.lake, args.as_of, "homepage_layouts", batches())
    finally:
        inputs.close()
    return {
        "model_version": settings.version,
        "users": len(inputs.user_ids),
        "homepage_layouts": rows,
        "users_with_module": {name: users_with[name] for name in MODULES},
        "first_module": {name: first_module[name] for name in MODULES if first_module[name]},
        "campaigns": campaigns.campaign_ids,
        "rules": inputs.n_rules,
        "usual_last_chance": round(inputs.usual_floor, 6),
        "module_rates": rates.report(),
        "settings": asdict(settings),
    }


def enumerate_counts(module: np.ndarray) -> Iterator[tuple[str, int]]:
    """Yield each module's name and how often it occurs."""
    yield from zip(MODULES, np.bincount(module, minlength=len(MODULES)).tolist(), strict=True)


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    run_step("lay_out_pages", lay_out_pages, step_parser(__doc__), argv)


if __name__ == "__main__":
    main()

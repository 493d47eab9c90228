"""Portray users, segments and items for one day.

Reads the features, and the item vectors where the shop has no categories of its own; writes user_traits,
user_profiles, taste_segments and item_portraits, and the centroids from which the next day goes on. Nothing later
than the day is read; of earlier days only the latest centroids. Users are put in words a shard at a time; the time
goes with the actions of a year (100,000 users with 6 million actions: 3 minutes and 3 GiB on one core).
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from ml.portraits.believe import Believed, believe
from ml.portraits.evidence import Evidence, load_evidence
from ml.portraits.habits import WEEKDAYS
from ml.portraits.item_groups import with_categories
from ml.portraits.item_portraits import item_portraits, number
from ml.portraits.portrait_text import Shop
from ml.portraits.segment_words import names, segment_rows
from ml.portraits.segments import NEWCOMERS, earlier_centroids, write_centroids
from ml.portraits.text_check import TextCheck
from ml.portraits.traits import TraitRows, shards
from ml.portraits.writer import TEMPLATE, LanguageModel, Template, writer_of
from ml.recommender.dataset import connect
from ml.recommender.outputs import write_output
from qianmian.step import run_step, step_parser

log = logging.getLogger(__name__)

VERSION = "portraits-1"
ABOVE_EVERYONE = 0.1  # by how much a share has to exceed everyone's to be worth a word
CHECKED = 1000  # texts of the template, evenly spread, that the check reads every day


def shop_words(evidence: Evidence, believed: Believed) -> Shop:
    """Return what texts take from the shop; newcomers are no segment worth naming to anyone."""
    named = zip(believed.groups, names(believed.groups), strict=True)
    return Shop(
        evidence.last_day.isoformat(),
        {group.segment_id: both for group, both in named if group.segment_id != NEWCOMERS},
        {
            name: believed.leanings[name].everyone + ABOVE_EVERYONE
            for name in ("bargain_seeking", "novelty_seeking")
        },
    )


class Texts:
    """Puts users in words, a shard at a time, and has the check read some of the texts."""

    def __init__(self, evidence: Evidence, believed: Believed, writer: Template | LanguageModel) -> None:
        self._evidence, self._believed, self._writer = evidence, believed, writer
        self.checked = self.at_fault = 0
        # Where weekdays tell this shop's users too little apart, the likeliest one is everyone's, and no portrait.
        self._tells_weekday = np.zeros(len(evidence.people), dtype=bool)
        for belief in believed.beliefs:
            if belief.trait == "active_weekday":
                self._tells_weekday[belief.user] = True

    def profiles(self) -> Iterator[dict[str, Any]]:
        """Yield user_profiles as columns, by user."""
        shop, goods = shop_words(self._evidence, self._believed), self._evidence.goods
        check = TextCheck({*goods.category, *goods.brand}, shop)
        user_ids = self._evidence.people.user_ids
        every = max(1, -(-len(user_ids) // CHECKED))
        for rows in shards(self._believed.beliefs, user_ids):
            texts = self._writer.write(rows.of_user, shop, check)
            for place in range(-rows.start % every, len(texts), every):
                faults = [fault for text in texts[place] for fault in check.faults(text, rows.of_user[place])]
                self.checked += 1
                if faults:
                    self.at_fault += 1
                    log.warning("a portrait says more than its traits: %s", "; ".join(faults))
            log.info("portraits of %d of %d users", rows.end, len(user_ids))
            yield self._profiles(rows, texts)

    def _profiles(self, rows: TraitRows, texts: list[tuple[str, str]]) -> dict[str, Any]:
        believed, part = self._believed, slice(rows.start, rows.end)
        due = [
            None if np.isnan(d) else date(1970, 1, 1) + timedelta(days=int(d)) for d in believed.rhythm.due[part]
        ]
        told, favorite = self._tells_weekday[part], believed.weekdays.favorite[part]
        return {
            "user_id": self._evidence.people.user_ids[part],
            "taste_segment": believed.segments.ids[believed.segments.of_user[part]],
            "average_days_between_orders": number(believed.rhythm.gap[part]),
            "next_purchase_expected_on": due,
            "active_weekday": [
                WEEKDAYS[day] if known else None for day, known in zip(favorite, told, strict=True)
            ],
            **{name: number(leaning.value[part]) for name, leaning in believed.leanings.items()},
            "review_sentiment": number(believed.mood.value[part]),
            "portrait_text": [english for english, _ in texts],
            "portrait_text_zh": [chinese for _, chinese in texts],
        }


def portray(args: argparse.Namespace) -> dict[str, Any]:
    """Write the day's portraits and report how they came about."""
    writer = writer_of(args.portrait_writer)
    with connect(args.lake) as connection:
        evidence, categories = with_categories(load_evidence(connection, args.as_of), args.lake)
        log.info(
            "%d users, %d items, %d actions, %d reviews", len(evidence.people), len(evidence.goods.item_ids),
            len(evidence.actions.user), len(evidence.reviews.user),
        )  # fmt: skip
        believed = believe(evidence, earlier_centroids(args.lake, args.as_of))
        log.info("segments: %s", believed.segments.report)
        log.info("sentiment: %s", believed.judged.report)
        items = item_portraits(
            connection, evidence, believed.judged, believed.segments.of_user, believed.segments.ids
        )
    version = VERSION if args.portrait_writer == TEMPLATE else f"{VERSION}+{args.portrait_writer}"
    people, of_model = evidence.people, {"model_version": version}
    texts = Texts(evidence, believed, writer)
    spending = {"average_order_value": people.average_order_value, "orders_90d": people.orders_90d}
    tables: dict[str, Iterable[dict[str, Any]]] = {
        "user_traits": (rows.columns | of_model for rows in shards(believed.beliefs, people.user_ids)),
        "user_profiles": (columns | of_model for columns in texts.profiles()),
        "taste_segments": [segment_rows(believed.groups, believed.segments.of_user, spending) | of_model],
        "item_portraits": [items | of_model],
    }
    written = {name: write_output(args.lake, args.as_of, name, batches) for name, batches in tables.items()}
    write_centroids(args.lake, args.as_of, believed.segments.centroids)
    return {
        "model_version": version,
        "users": len(people),
        **written,
        **categories,
        "segments": believed.segments.report,
        "sentiment": believed.judged.report,
        "everyones_days_between_orders": round(believed.rhythm.everyones_gap, 2),
        "leaving_a_day": round(believed.presence.leaving, 6),
        "prior_sizes": {
            "active_weekday": round(believed.weekdays.size, 1),
            **{name: round(leaning.size, 1) for name, leaning in believed.leanings.items()},
        },
        "traits": {belief.trait: len(belief.user) for belief in sorted(believed.beliefs, key=lambda b: b.trait)},
        "texts_checked": texts.checked,
        "texts_at_fault": texts.at_fault,
        "writer": {"portrait_writer": args.portrait_writer, **writer.report},
    }


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--portrait-writer", default=TEMPLATE,
        help="template, or name or path of a text-generation model (default: %(default)s)",
    )  # fmt: skip
    run_step("portray", portray, parser, argv)


if __name__ == "__main__":
    main()

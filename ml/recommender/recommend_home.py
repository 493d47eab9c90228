"""Make the home page's lists and the similar items for one day.

Reads the features and the item vectors, writes home_recommendations and similar_items. The champion of the
weekly training makes the lists, or the blend where none is promoted; its settings then are chosen on the shop's
own last 7 days. Chances are calibrated on these days, predicted from what came before.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from ml.explain import reasons
from ml.recommender.blend import BUY_AGAIN, POPULAR, SOURCES, TEXT
from ml.recommender.calibration import Calibration, user_activity
from ml.recommender.dataset import Shop, connect, load_shop
from ml.recommender.outputs import write_output
from ml.recommender.recommend import Shard
from ml.recommender.serving import Serving, choose, items_of, serve_day
from ml.recommender.settings import LIST_LENGTH
from ml.recommender.similar_items import similar_items
from ml.text_encoder import store
from qianmian.step import run_step, step_parser

log = logging.getLogger(__name__)

SURFACE = "home"


def recommendation_id(as_of: str, user_id: str, rank: int, item_id: str) -> str:
    """Name one recommendation: the same run gives the same name."""
    return hashlib.sha256(f"{as_of}|{user_id}|{SURFACE}|{rank}|{item_id}".encode()).hexdigest()[:32]


def reason_codes(source: np.ndarray, is_bought: np.ndarray, is_from_segment: np.ndarray) -> np.ndarray:
    """Return the reason code of each row from its source and the kind of its evidence."""
    return np.select(
        [source == BUY_AGAIN, source == TEXT, (source != POPULAR) & is_bought, source != POPULAR, is_from_segment],
        [reasons.BUY_AGAIN, reasons.SIMILAR, reasons.BOUGHT, reasons.VIEWED, reasons.IN_SEGMENT],
        reasons.POPULAR,
    ).astype(object)  # fmt: skip


def to_columns(
    shop: Shop, serving: Serving, shard: Shard, calibration: Calibration, activity: np.ndarray
) -> dict[str, Any]:
    """Return a shard's rows of home_recommendations as columns."""
    as_of = shop.as_of.isoformat()
    evidence = serving.explain(shard)
    there = shard.items >= 0
    row, place = np.nonzero(there)
    users = shard.users[row]
    item, past = shard.items[there], evidence.item[there]
    source = evidence.source[there]
    codes = reason_codes(source, evidence.is_bought[there], evidence.is_from_segment[there])
    is_item = source != POPULAR
    segments = np.array(shop.users.segments, dtype=object)
    segment = np.where(codes == reasons.IN_SEGMENT, segments[shop.users.segment[users]], "all")
    titles, item_ids = shop.catalogue.titles, shop.catalogue.item_ids
    texts = [
        reasons.reason_texts(
            code, (titles[p], titles[p]) if of_item else reasons.segment_names(of_segment), bool(p == i)
        )
        for code, of_item, of_segment, p, i in zip(codes, is_item, segment, past, item, strict=True)
    ]
    user_ids, listed = shop.users.user_ids[users], item_ids[item]
    return {
        "user_id": user_ids,
        "surface": SURFACE,
        "rank": place + 1,
        "recommendation_id": [
            recommendation_id(as_of, user, rank, listed_item)
            for user, rank, listed_item in zip(user_ids, (place + 1).tolist(), listed, strict=True)
        ],
        "item_id": listed,
        "score": shard.scores[there],
        "probability": calibration.probability(shard.scores, activity[shard.users])[there],
        "candidate_source": np.array(SOURCES, dtype=object)[source],
        "reason_code": codes,
        "reason_text": [english for english, _ in texts],
        "reason_text_zh": [chinese for _, chinese in texts],
        "evidence_type": np.where(is_item, "item", "segment").astype(object),
        "evidence_id": np.where(is_item, item_ids[np.maximum(past, 0)], segment),
        "contribution": np.round(evidence.from_item[there], 9),
        "is_exploration": False,
        "is_promoted": serving.is_lifted(shard)[there],
        "propensity": 1.0,
    }


def recommend_home(args: argparse.Namespace) -> dict[str, Any]:
    """Write the day's lists and report how they came about."""
    text_version = store.chosen_version(args.lake, args.as_of)
    with connect(args.lake) as connection:
        shop = load_shop(connection, args.as_of)
    log.info(
        "%d users, %d items, %d actions", len(shop.users.user_ids), len(shop.catalogue.item_ids), len(shop.log)
    )
    chosen = choose(args.lake, args.as_of, text_version)
    log.info("recommender: %s%s", chosen.version, f" ({chosen.note})" if chosen.note else "")
    items = items_of(shop, store.read(args.lake, text_version, shop.catalogue.text_hashes))
    day = serve_day(chosen, shop, items)
    blend, calibration = day.serving.blend, day.calibration
    repeat_share = blend.items.repeat_share
    log.info("repeat purchases: %.1f%% of lines, so bought items may %scome back", 100 * repeat_share,
             "" if blend.allows_repeats else "not ")  # fmt: skip
    sources = np.zeros(len(SOURCES), dtype=np.int64)

    def batches() -> Iterator[dict[str, Any]]:
        activity = user_activity(shop.log, shop.end_of_day)
        everyone = np.arange(len(shop.users.user_ids))
        done = 0
        for shard in day.serving.shards(everyone):
            columns = to_columns(shop, day.serving, shard, calibration, activity)
            for number, name in enumerate(SOURCES):
                sources[number] += int((columns["candidate_source"] == name).sum())
            done += len(shard.users)
            log.info("lists for %d of %d users", done, len(everyone))
            yield {**columns, "model_version": chosen.version}

    rows = write_output(args.lake, args.as_of, "home_recommendations", batches())
    pairs = write_output(
        args.lake, args.as_of, "similar_items",
        [{**similar_items(blend, shop.catalogue, LIST_LENGTH), "model_version": chosen.version}],
    )  # fmt: skip
    return {
        "model_version": chosen.version,
        "note": chosen.note,
        "users": len(shop.users.user_ids),
        "home_recommendations": rows,
        "similar_items": pairs,
        "by_source": {name: int(count) for name, count in zip(SOURCES, sources, strict=True)},
        "repeat_share_90d": round(repeat_share, 4),
        "repeats_allowed": blend.allows_repeats,
        "settings": asdict(blend.settings),
        **day.report,
        "calibration": {
            "listed": calibration.listed,
            "bought": calibration.bought,
            "coefficients": calibration.coefficients.tolist(),
        },
    }


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    run_step("recommend_home", recommend_home, step_parser(__doc__), argv)


if __name__ == "__main__":
    main()

"""Make the home page's lists and the similar items for one day.

Reads the features and the item vectors, writes home_recommendations, recommendation_explanations,
recommendation_filters and similar_items. The champion of the weekly training scores, or the blend where none is
promoted; its settings then are chosen on the shop's own last 7 days. Of each user's best by score `ml.rerank`
makes the lists: rules, variety, exploration. Chances are calibrated on the last 7 days, predicted from what came
before.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ml.explain.explanation_rows import explanation_columns
from ml.explain.reason_rows import reasons_of
from ml.recommender.blend import SOURCES
from ml.recommender.calibration import Calibration, user_activity
from ml.recommender.dataset import Shop, connect, load_shop
from ml.recommender.outputs import output_writer, write_output
from ml.recommender.recommend import Shard
from ml.recommender.serving import Day, choose, items_of, serve_day
from ml.recommender.settings import LIST_LENGTH
from ml.recommender.similar_items import similar_items
from ml.rerank.filter_rows import barred_moves, filter_columns
from ml.rerank.moves import Moves
from ml.rerank.reranker import Reranker
from ml.rerank.settings import RerankSettings
from ml.text_encoder import store
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger(__name__)

SURFACE = "home"
LISTS, EXPLANATIONS, FILTERS = "home_recommendations", "recommendation_explanations", "recommendation_filters"


def recommendation_id(as_of: str, user_id: str, rank: int, item_id: str) -> str:
    """Name one recommendation: the same run gives the same name."""
    return hashlib.sha256(f"{as_of}|{user_id}|{SURFACE}|{rank}|{item_id}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Maker:
    """Turns pools of users into rows of the three tables."""

    shop: Shop
    day: Day
    reranker: Reranker
    activity: np.ndarray

    @property
    def calibration(self) -> Calibration:
        """From scores to chances."""
        return self.day.calibration

    def rows(self, pool: Shard) -> dict[str, dict[str, Any]]:
        """Return columns by table."""
        shop, serving, reranker = self.shop, self.day.serving, self.reranker
        reranked = reranker.rerank(pool.users, pool.items, pool.scores)
        # A place by score is what the chances were learned by, so they are the pool's.
        chances = reranked.of_pool(self.calibration.probability(pool.scores, self.activity[pool.users]))
        there = reranked.items >= 0
        lists = replace(pool, items=reranked.items, scores=np.where(there, reranked.of_pool(pool.scores), -np.inf))
        evidence = serving.explain(lists)
        is_lifted = serving.is_lifted(lists)
        lift = np.where(is_lifted, serving.lift_falls(lists), 0.0)
        reasons = reasons_of(shop, reranker.attributes, lists, evidence, lift)
        row, place = np.nonzero(there)
        user_ids, listed = shop.users.user_ids[pool.users[row]], shop.catalogue.item_ids[reranked.items[there]]
        as_of, ranks = shop.as_of.isoformat(), place + 1
        names = [
            recommendation_id(as_of, user, rank, item)
            for user, rank, item in zip(user_ids, ranks.tolist(), listed, strict=True)
        ]
        moves = Moves.joined([reranked.moves, barred_moves(pool.history, pool.users, serving.blend)])
        return {
            LISTS: {
                "user_id": user_ids,
                "surface": SURFACE,
                "rank": ranks,
                "recommendation_id": names,
                "item_id": listed,
                "score": lists.scores[there],
                "probability": chances[there],
                "candidate_source": np.array(SOURCES, dtype=object)[evidence.source[there]],
                "reason_code": reasons.code,
                "reason_text": reasons.english,
                "reason_text_zh": reasons.chinese,
                "evidence_type": reasons.evidence_type,
                "evidence_id": reasons.evidence_id,
                "contribution": reasons.contribution,
                "is_exploration": reranked.is_exploration[there],
                "is_promoted": is_lifted[there],
                "propensity": reranked.propensity[there],
            },
            EXPLANATIONS: explanation_columns(
                lists, evidence, serving.parts(lists, evidence), reasons, np.array(names, dtype=object),
                shop.catalogue.item_ids,
            ),
            FILTERS: filter_columns(shop, reranker, moves),
        }  # fmt: skip


def write_lists(
    args: argparse.Namespace, maker: Maker, version: str
) -> tuple[dict[str, int], dict[str, Counter[str]]]:
    """Write the three tables a shard at a time; return their rows, and lists by source and filters by rule."""
    everyone = np.arange(len(maker.shop.users.user_ids))
    rows: Counter[str] = Counter(dict.fromkeys((LISTS, EXPLANATIONS, FILTERS), 0))
    counts: dict[str, Counter[str]] = {"by_source": Counter(), "by_rule": Counter()}
    done = 0
    with ExitStack() as open_tables:
        writers: dict[str, Callable[[dict[str, Any]], int]] = {
            name: open_tables.enter_context(output_writer(args.lake, args.as_of, name)) for name in rows
        }
        for pool in maker.day.serving.shards(everyone, maker.reranker.pool):
            tables = maker.rows(pool)
            for name, columns in tables.items():
                rows[name] += writers[name]({**columns, "model_version": version})
            counts["by_source"].update(tables[LISTS]["candidate_source"].tolist())
            counts["by_rule"].update(tables[FILTERS]["rule"].tolist())
            done += len(pool.users)
            log.info("lists for %d of %d users", done, len(everyone))
    return dict(rows), counts


def rerank_settings(args: argparse.Namespace) -> RerankSettings:
    """Return the re-rank's settings with what the command line says of them.

    Raises:
        StepError: a setting is out of its range.

    """
    try:
        return RerankSettings(variety=args.variety, exploration_slots=args.exploration_slots)
    except ValueError as error:
        raise StepError(
            f"{error}", "list_variety is from 0 to below 1, exploration_slots is 0 or more: see qianmian.toml."
        ) from error


def recommend_home(args: argparse.Namespace) -> dict[str, Any]:
    """Write the day's lists and report how they came about."""
    text_version = store.chosen_version(args.lake, args.as_of)
    with connect(args.lake) as connection:
        shop = load_shop(connection, args.as_of)
        items = items_of(shop, store.read(args.lake, text_version, shop.catalogue.text_hashes))
        reranker = Reranker.load(connection, shop, items.text, rerank_settings(args), SURFACE)
    log.info(
        "%d users, %d items, %d actions", len(shop.users.user_ids), len(shop.catalogue.item_ids), len(shop.log)
    )
    chosen = choose(args.lake, args.as_of, text_version)
    log.info("recommender: %s%s", chosen.version, f" ({chosen.note})" if chosen.note else "")
    day = serve_day(chosen, shop, items)
    blend, calibration, rules = day.serving.blend, day.calibration, reranker.rules.rules
    log.info(
        "rules of the shop that hold: %d, of %d items never to be shown", len(rules), int(reranker.blocked.sum())
    )
    repeat_share = blend.items.repeat_share
    log.info("repeat purchases: %.1f%% of lines, so bought items may %scome back", 100 * repeat_share,
             "" if blend.allows_repeats else "not ")  # fmt: skip
    maker = Maker(shop, day, reranker, user_activity(shop.log, shop.end_of_day))
    rows, counts = write_lists(args, maker, chosen.version)
    pairs = write_output(
        args.lake, args.as_of, "similar_items",
        [{**similar_items(blend, shop.catalogue, LIST_LENGTH), "model_version": chosen.version}],
    )  # fmt: skip
    return {
        "model_version": chosen.version,
        "note": chosen.note,
        "users": len(shop.users.user_ids),
        **rows,
        "similar_items": pairs,
        "by_source": {name: counts["by_source"][name] for name in SOURCES},
        "by_rule": dict(sorted(counts["by_rule"].items())),
        "shop_rules": len(rules),
        "repeat_share_90d": round(repeat_share, 4),
        "repeats_allowed": blend.allows_repeats,
        "settings": asdict(blend.settings),
        "rerank": asdict(reranker.settings),
        **day.report,
        "calibration": {
            "listed": calibration.listed,
            "bought": calibration.bought,
            "coefficients": calibration.coefficients.tolist(),
        },
    }


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    defaults = RerankSettings()
    parser.add_argument(
        "--variety", type=float, default=defaults.variety, help="0: by score alone (default: %(default)s)"
    )
    parser.add_argument(
        "--exploration-slots", type=int, default=defaults.exploration_slots,
        help="places of a list drawn at random (default: %(default)s)",
    )  # fmt: skip
    run_step("recommend_home", recommend_home, parser, argv)


if __name__ == "__main__":
    main()

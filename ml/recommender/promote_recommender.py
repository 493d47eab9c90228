"""Hold the challenger against the champion and simple baselines on the last 7 days, and promote it if it wins.

The days were kept from all of them, and from the encoders whose vectors they read. The rule stands in
ml/recommender/promotion.py; the decision with its figures is kept in the lake, in MLflow, and by the next daily
run in model_metrics. The model that was measured is the one that serves: it is not trained again on the days that
judged it.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from expectations.tables import EVALUATION_DAYS, recommender_training_dir
from ml.recommender.backtest import run_backtest
from ml.recommender.blend import Blend, learn
from ml.recommender.champion import Version, champion, find_version, load_model, promote, record_decision
from ml.recommender.dataset import PURCHASE, Shop, connect, load_shop, require_features_of
from ml.recommender.evaluate_home import BASELINE, popularity_lists, served_lists, slices
from ml.recommender.popular import measured_popularity
from ml.recommender.promotion import DECIDING, HEAD_SHARE, Contest, Decision, decide
from ml.recommender.recommend import all_lists
from ml.recommender.serving import BLEND, items_of, learned_before
from ml.recommender.settings import BlendSettings
from ml.recommender.tracking import tracked_run
from ml.recommender.train_model import Items
from ml.recommender.train_recommender import CHALLENGER
from ml.recommender.tune import purchases_between
from ml.text_encoder import store
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger(__name__)

ITEM_TO_ITEM = "item_to_item"


def read_challenger(lake: Path, as_of: str) -> tuple[Version, str]:
    """Return the day's challenger and its run in MLflow.

    Raises:
        StepError: there is none, or its files are not whole.

    """
    path = recommender_training_dir(lake, as_of) / CHALLENGER
    try:
        known = json.loads(path.read_text())
        return find_version(lake, known["version"]), str(known["mlflow_run_id"])
    except (OSError, ValueError, KeyError):
        raise StepError(
            f"{path} names no challenger.", "Train first: python -m ml.recommender.train_recommender"
        ) from None


def opponent_of(lake: Path, as_of: str, challenger: Version) -> tuple[Version | None, str]:
    """Return the champion that can be compared, or None for the blend, and why."""
    best = champion(lake, as_of)
    if best is None:
        return None, "no recommender was promoted before"
    if best.trained_before > challenger.trained_before:
        return None, f"the champion {best.name} has seen the measured days"
    return best, ""


def contest(
    shop: Shop, items: Items, contenders: dict[str, Version], items_of_contender: dict[str, Items]
) -> Contest:
    """Let all make their lists as of 7 days ago for whoever bought something since.

    `items` are what the baselines read; each contender reads the vectors that it was trained on.
    """
    begin, end = shop.end_of_day - EVALUATION_DAYS, shop.end_of_day
    targets = purchases_between(shop.log, begin, end)
    actions = shop.log.before(begin)
    settings = run_backtest(shop, items.text_similar, begin, BlendSettings()).settings
    popularity = measured_popularity(actions, begin, settings)
    knowledge = learn(actions, items.text_similar, popularity, items.candidates_at(begin), begin, settings)
    blend = Blend(knowledge, settings)
    related_only = replace(
        settings, text_weight=0.0, revisit_weight=0.0, buy_again_weight=0.0, popular_weight=1e-6
    )
    nobody = np.zeros(actions.n_users, dtype=np.int64)
    users = targets.users
    lists = {
        BLEND: all_lists(blend, actions, nobody, users),
        BASELINE: popularity_lists(shop, popularity.everyone, begin, blend.allows_repeats, users),
        ITEM_TO_ITEM: all_lists(Blend(knowledge, related_only), actions, nobody, users),
    }
    for name, version in contenders.items():
        serving = learned_before(load_model(version), shop, items_of_contender[name], begin)
        lists[name] = served_lists(serving, users)
    bought = np.bincount(actions.item[actions.event == PURCHASE], minlength=actions.n_items)
    is_head = np.zeros(actions.n_items, dtype=bool)
    is_head[np.argsort(-bought, kind="stable")[: int(HEAD_SHARE * actions.n_items)]] = True
    segments = slices(np.bincount(actions.user, minlength=actions.n_users)[users])
    segments.pop("all")
    return Contest(targets, lists, segments, is_head, actions.n_items)


def tell(decision: Decision) -> None:
    """Write the deciding figures to the log, a line a segment."""
    for figure in decision.differences:
        if (figure.metric, figure.k) == DECIDING:
            log.info("%-10s %5d users: NDCG@20 %.4f, opponent %.4f (%+.4f, 90%% interval %+.4f to %+.4f)",
                     figure.segment, figure.users, figure.challenger, figure.opponent, figure.mean,
                     figure.low, figure.high)  # fmt: skip
    for figure_ in decision.figures:
        if (figure_.metric, figure_.k) == DECIDING and figure_.segment == "all":
            log.info("%s: NDCG@20 %.4f (%.4f to %.4f)", figure_.model, figure_.value, figure_.low, figure_.high)
    log.info("DECISION: %s", decision.why)


def promote_recommender(args: argparse.Namespace) -> dict[str, Any]:
    """Decide, record, promote."""
    challenger, run_id = read_challenger(args.lake, args.as_of)
    with connect(args.lake) as connection:
        require_features_of(connection, args.as_of)
        shop = load_shop(connection, args.as_of)
    best, note = opponent_of(args.lake, args.as_of, challenger)
    if best is not None and best.name == challenger.name:
        log.info("%s is the champion already", best.name)
        return {"promoted": True, "version": best.name, "why": "it is the champion already"}
    contenders = {version.name: version for version in (challenger, best) if version is not None}
    by_text = {
        version: items_of(shop, store.read(args.lake, version, shop.catalogue.text_hashes))
        for version in {contender.text_version for contender in contenders.values()}
    }
    read_by = {name: by_text[version.text_version] for name, version in contenders.items()}
    opponent = BLEND if best is None else best.name
    decision = decide(contest(shop, read_by[challenger.name], contenders, read_by), challenger.name, opponent)
    tell(decision)
    record = {
        "challenger": challenger.name,
        "champion": opponent,
        "note": note,
        "measured_from": (shop.last_day - timedelta(days=EVALUATION_DAYS - 1)).isoformat(),
        "measured_to": shop.last_day.isoformat(),
        **asdict(decision),
    }
    remembered = recommender_training_dir(args.lake, args.as_of) / "mlflow_run_id"
    remembered.write_text(run_id)
    with tracked_run(args.mlflow_home, args.shop, args.as_of, remembered) as run:
        for figure in decision.figures:
            who = "challenger" if figure.model == challenger.name else figure.model
            run.figure(f"{who}/{figure.segment}/{figure.metric}_{figure.k}", figure.value)
        run.tags({"promoted": str(decision.promoted).lower(), "why": decision.why})
        run.file(record_decision(args.lake, args.as_of, record))
    if decision.promoted:
        promote(args.lake, args.as_of, challenger.name)
    return {"promoted": decision.promoted, "version": challenger.name, "opponent": opponent, "why": decision.why}


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--shop", required=True, help="name of MLflow's experiment")
    parser.add_argument("--mlflow-home", type=Path, required=True, help="folder of MLflow's store")
    run_step("promote_recommender", promote_recommender, parser, argv)


if __name__ == "__main__":
    main()

"""Hold the day's fine-tuned encoder against the champion and the base model on the last week but one.

The question is that of the training, on days that nobody has seen: by text alone, find what users buy next and
never had. It is the week by which the recommender's dials are chosen too; the last 7 days stay for the promotion
of the recommender, which reads these vectors (docs/decisions/0020). The rule is the recommenders'
(ml/recommender/promotion.py), and the paired interval must lie above 0: a new encoder means encoding the catalogue
and training the recommender anew. All vectors made here stay in the lake, so that a promoted encoder finds the
catalogue encoded.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from expectations.tables import EVALUATION_DAYS, encoder_training_dir
from ml.recommender.dataset import PURCHASE, Shop, connect, load_shop, require_features_of
from ml.recommender.evaluate_home import slices
from ml.recommender.promote_recommender import tell
from ml.recommender.promotion import DECIDING, HEAD_SHARE, Contest, Decision, decide
from ml.recommender.tracking import tracked_run
from ml.recommender.train_recommender import CHALLENGER
from ml.registry import CARD, Saved
from ml.text_encoder import models, store
from ml.text_encoder.embed_items import encode_missing
from ml.text_encoder.fine_tuning.card import write_card
from ml.text_encoder.fine_tuning.evaluate import later_questions, lists_of
from ml.text_encoder.fine_tuning.registry import encoders, unseen_from
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger(__name__)


def read_challenger(lake: Path, as_of: str) -> dict[str, Any]:
    """Return what the day's training left.

    Raises:
        StepError: it left nothing.

    """
    path = encoder_training_dir(lake, as_of) / CHALLENGER
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        raise StepError(
            f"{path} names no challenger.",
            "Fine-tune first: python -m ml.text_encoder.fine_tuning.train_encoder",
        ) from None


def measured_days(shop: Shop) -> tuple[date, date]:
    """Return the first and the last day of the week that decides: the 7 days before the last 7."""
    last = shop.last_day - timedelta(days=EVALUATION_DAYS)
    return last - timedelta(days=EVALUATION_DAYS - 1), last


def opponents(lake: Path, as_of: str, measured_from: date) -> tuple[Saved | None, str]:
    """Return the champion that can be compared, or None for the base model alone, and why."""
    best = encoders(lake).champion(as_of)
    if best is None:
        return None, "no encoder was promoted before"
    if unseen_from(best) > measured_from:
        return None, f"the champion {best.name} has seen the measured days"
    return best, ""


def contest(shop: Shop, vectors: dict[str, np.ndarray]) -> Contest:
    """Let each encoder's vectors answer, as of 14 days ago, for whoever bought something new in the week after."""
    end = shop.end_of_day - EVALUATION_DAYS
    begin = end - EVALUATION_DAYS
    questions = later_questions(shop.log, begin, end, shop.catalogue.is_active)
    actions = shop.log.before(begin)
    bought = np.bincount(actions.item[actions.event == PURCHASE], minlength=actions.n_items)
    is_head = np.zeros(actions.n_items, dtype=bool)
    is_head[np.argsort(-bought, kind="stable")[: int(HEAD_SHARE * actions.n_items)]] = True
    segments = slices(np.bincount(actions.user, minlength=actions.n_users)[questions.targets.users])
    segments.pop("all")
    lists = {name: lists_of(of_items, questions) for name, of_items in vectors.items()}
    return Contest(questions.targets, lists, segments, is_head, actions.n_items)


def strictly(decision: Decision) -> Decision:
    """Refuse a promotion whose paired interval holds no gain at all."""
    overall = [d for d in decision.differences if (d.segment, d.metric, d.k) == ("all", *DECIDING)]
    if decision.promoted and overall[0].low <= 0:
        why = decision.why.replace("promoted because", "kept because", 1)
        return replace(decision, promoted=False, why=f"{why}, but the interval holds no gain too")
    return decision


def promote_encoder(args: argparse.Namespace) -> dict[str, Any]:
    """Decide, record, promote."""
    known = read_challenger(args.lake, args.as_of)
    registry = encoders(args.lake)
    if known["version"] is None:
        log.info("DECISION: %s", known["why"])
        return {"promoted": False, "version": None, "why": known["why"]}
    challenger = registry.find(known["version"])
    with connect(args.lake) as connection:
        require_features_of(connection, args.as_of)
        shop = load_shop(connection, args.as_of)
    measured_from, measured_to = measured_days(shop)
    best, note = opponents(args.lake, args.as_of, measured_from)
    if best is not None and best.name == challenger.name:
        return {"promoted": True, "version": best.name, "why": "it is the champion already"}
    base = models.locate(challenger.about["base_model"])
    base_version = models.version_of(challenger.about["base_model"], base)
    contenders = {base_version: base} | {v.name: v.folder for v in (challenger, best) if v is not None}
    asked_for = {base_version: challenger.about["base_model"]}
    versions = {
        name: encode_missing(args.lake, asked_for.get(name, name), folder)[0]
        for name, folder in contenders.items()
    }
    vectors = {name: store.read(args.lake, v, shop.catalogue.text_hashes) for name, v in versions.items()}
    opponent = base_version if best is None else best.name
    decision = strictly(decide(contest(shop, vectors), challenger.name, opponent))
    tell(decision)
    record = {
        "challenger": challenger.name,
        "text_version": versions[challenger.name],
        "champion": opponent,
        "note": note,
        "measured_from": measured_from.isoformat(),
        "measured_to": measured_to.isoformat(),
        **asdict(decision),
    }
    path = registry.record_decision(args.as_of, record)
    write_card(challenger, record)
    remembered = encoder_training_dir(args.lake, args.as_of) / "mlflow_run_id"
    remembered.write_text(str(known["mlflow_run_id"]))
    with tracked_run(args.mlflow_home, args.shop, args.as_of, remembered) as run:
        for figure in decision.figures:
            who = "challenger" if figure.model == challenger.name else figure.model
            run.figure(f"{who}/{figure.segment}/{figure.metric}_{figure.k}", figure.value)
        run.tags({"promoted": str(decision.promoted).lower(), "why": decision.why})
        run.file(path)
        run.file(challenger.folder / CARD)
    if decision.promoted:
        registry.promote(args.as_of, challenger.name)
    return {"promoted": decision.promoted, "version": challenger.name, "opponent": opponent, "why": decision.why}


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--shop", required=True, help="name of MLflow's experiment")
    parser.add_argument("--mlflow-home", type=Path, required=True, help="folder of MLflow's store")
    run_step("promote_encoder", promote_encoder, parser, argv)


if __name__ == "__main__":
    main()

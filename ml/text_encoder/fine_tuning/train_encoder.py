"""Fine-tune the text encoder on what users chose together, and after a search, before a recommender's first week.

The recommender's trees are fitted on what was bought in the weeks of ml/recommender/snapshots.py, through this
encoder's vectors: it learns from what lies more than a week before the first of them, and that week decides when
training stops (docs/decisions/0020). Reads the features; leaves a version in the lake and its name in the day's
challenger.json, or there why the base model stays. State is saved at each evaluation: run again after an
interruption, it goes on. Several GPUs: `accelerate launch -m ml.text_encoder.fine_tuning.train_encoder ...`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from expectations.tables import EVALUATION_DAYS, encoder_training_dir
from ml.recommender.dataset import Shop, connect, load_shop, require_features_of
from ml.recommender.snapshots import snapshot_moments
from ml.recommender.tracking import tracked_run
from ml.recommender.train_recommender import CHALLENGER, choose_device
from ml.text_encoder import models
from ml.text_encoder.fine_tuning.card import write_card
from ml.text_encoder.fine_tuning.evaluate import Questions, later_questions, mean_ndcg, sampled
from ml.text_encoder.fine_tuning.pairs import ItemTexts, Pairs, find_pairs
from ml.text_encoder.fine_tuning.queries import read_searches
from ml.text_encoder.fine_tuning.registry import encoders
from ml.text_encoder.fine_tuning.settings import METHODS, FineTuning, defaults_of
from qianmian.step import StepError, run_step, step_parser, write_atomically

log = logging.getLogger(__name__)

#: Fewer, and the held-out weeks say nothing, or the base model learns nothing that it does not know.
MIN_PAIRS, MIN_USERS = 1_000, 50
#: Of this code: another one gives another model from the same data.
RECIPE = 2


@dataclass(frozen=True)
class Material:
    """What an encoder is made of: pairs, the questions that stop training, and the item texts' numbers.

    `learned_before` is a time in days: no action from then on is among the pairs.
    """

    shop: Shop
    learned_before: float
    pairs: Pairs
    deciding: Questions
    number: np.ndarray

    @property
    def shortage(self) -> str:
        """Say what there is too little of, or nothing."""
        if len(self.pairs) < MIN_PAIRS:
            return f"{len(self.pairs)} pairs of items, fewer than {MIN_PAIRS}"
        if len(self.deciding) < MIN_USERS:
            return (
                f"{len(self.deciding)} users bought something new in the week that decides, fewer than {MIN_USERS}"
            )
        return ""


def read_texts(connection: duckdb.DuckDBPyConnection) -> ItemTexts:
    """Return titles and texts of all items, in the order of their ids."""
    rows = connection.execute(
        "select title, item_text from features.features.item_features order by item_id"
    ).fetchnumpy()
    return ItemTexts(*(np.asarray(np.ma.filled(rows[name], ""), dtype=object) for name in ("title", "item_text")))


def gather(lake: Path, as_of: str, settings: FineTuning) -> Material:
    """Read the shop and split it in time.

    Raises:
        StepError: the features are of another day.

    """
    with connect(lake) as connection:
        require_features_of(connection, as_of)
        shop = load_shop(connection, as_of)
        texts = read_texts(connection)
        searches = read_searches(connection)
    last_week = shop.end_of_day - EVALUATION_DAYS
    # Nothing of what a recommender is fitted on, nor of the week that decides on the encoder, may be known to it.
    first_fitted = min(snapshot_moments(shop.log, last_week), default=last_week - EVALUATION_DAYS)
    cut = first_fitted - EVALUATION_DAYS
    pairs = find_pairs(shop.log.before(cut), texts, settings.pairs, searches.before(cut))
    deciding = later_questions(shop.log, cut, first_fitted, shop.catalogue.is_active)
    some = sampled(deciding, settings.exam_users, settings.exam_items, settings.exam_history)
    return Material(shop, cut, pairs, some, pairs.number_of(texts.texts))


def of_items(vectors: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return each item's vector given those of the texts; zeros where an item has no text."""
    return np.where(number[:, None] >= 0, vectors[number], np.float32(0.0))


def fingerprint(material: Material, base_version: str, settings: FineTuning, seed: int) -> str:
    """Name what an encoder is a function of: texts, pairs, questions, base model, settings, seed, recipe."""
    digest = hashlib.sha256("\n".join(material.pairs.texts).encode())
    weight, deciding = material.pairs.weight, material.deciding
    for array in (
        weight.indptr, weight.indices, weight.data, material.pairs.asked, material.number, deciding.history.data,
        deciding.history.indices, deciding.targets.item, deciding.targets.row, deciding.is_candidate,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([RECIPE, base_version, seed, asdict(settings)], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def ready_challenger(lake: Path, folder: Path, of: str) -> dict[str, Any] | None:
    """Return what came of the day's training if it was on just this."""
    try:
        known = json.loads((folder / CHALLENGER).read_text())
        if known["fingerprint"] != of:
            return None
        if known["version"] is not None:
            encoders(lake).find(known["version"])
    except (OSError, ValueError, KeyError, StepError):
        return None
    return dict(known)


def conclude(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Leave what came of the training for the promotion to read."""
    write_atomically(folder / CHALLENGER, json.dumps(report, indent=2))
    log.info("%s", report["why"])
    return report


def train_encoder(args: argparse.Namespace) -> dict[str, Any]:
    """Train, and say what came of it; a small shop, or one whose texts teach nothing new, keeps the base model."""
    folder = encoder_training_dir(args.lake, args.as_of)
    if args.method == "off":
        why = "the base model stays: fine-tuning is off"
        return conclude(folder, {"version": None, "fingerprint": "off", "why": why})
    settings = defaults_of(args.method)
    base = models.locate(args.base_model)
    base_version = models.version_of(args.base_model, base)
    material = gather(args.lake, args.as_of, settings)
    name = fingerprint(material, base_version, settings, args.seed)
    ready = ready_challenger(args.lake, folder, name)
    if ready is not None:
        return {**ready, "note": "trained before on the same data: nothing to do"}
    shortage = material.shortage
    if shortage:
        return conclude(folder, {"version": None, "fingerprint": name, "why": f"the base model stays: {shortage}"})
    return tune(args, material, settings, base, base_version, folder, name)


def tune(
    args: argparse.Namespace, material: Material, settings: FineTuning, base: Path, base_version: str,
    folder: Path, name: str,
) -> dict[str, Any]:  # fmt: skip
    """Run the training and keep the encoder if it gained anything on the week that decides."""
    from ml.text_encoder.fine_tuning.encoder import TextEncoder
    from ml.text_encoder.fine_tuning.team import Team
    from ml.text_encoder.fine_tuning.train import Exam, Trainer

    for other in folder.glob("*"):
        if other.is_dir() and other.name != name:
            shutil.rmtree(other)  # of other data: nobody will go on with it
    state = folder / name
    device = choose_device(args.device)
    team = Team.gathered(device) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Team()
    pairs, number = material.pairs, material.number

    exam = Exam(
        lambda vectors: mean_ndcg(of_items(vectors, number), material.deciding),
        np.unique(number[material.deciding.items[number[material.deciding.items] >= 0]]),
    )
    encoder = TextEncoder(base, pairs.texts, settings, team.device(device), args.seed)
    trainer = Trainer(encoder, pairs, settings, args.seed, exam, team)
    if not team.is_first:
        trainer.fit(state / "state.pt", args.time_budget)
        sys.exit(0)
    with tracked_run(args.mlflow_home, args.shop, f"{args.as_of} encoder {name}", state / "mlflow_run_id") as run:
        run.parameters(
            {"as_of": args.as_of, "base_version": base_version, "pairs": len(pairs), "texts": len(pairs.texts),
             "queries": len(pairs.asked), "seed": args.seed, "device": device, **asdict(settings)}
        )  # fmt: skip
        outcome = trainer.fit(state / "state.pt", args.time_budget, run.figure)
        figures = asdict(outcome)
        numbers = (
            f"NDCG@20 of {len(material.deciding)} users in the week that decides {outcome.best_value:.4f}, "
            f"{outcome.base_value:.4f} with the base model"
        )
        report: dict[str, Any] = {
            "version": None, "fingerprint": name, "mlflow_run_id": run.run_id, "training": figures,
            "why": f"the base model stays: nothing was gained ({numbers})",
        }  # fmt: skip
        if outcome.best_step:
            shop = material.shop
            last_learned = shop.last_day - timedelta(days=shop.end_of_day - material.learned_before)
            about = {
                "base_model": args.base_model, "base_version": base_version, "made_for": args.as_of,
                "trained_to": last_learned.isoformat(), "pairs": len(pairs), "texts": len(pairs.texts),
                "queries": len(pairs.asked), "users_deciding": len(material.deciding),
                "base_value": outcome.base_value, "best_value": outcome.best_value,
                "best_step": outcome.best_step, "share": outcome.share, "seed": args.seed,
                "settings": asdict(settings),
            }  # fmt: skip
            version = encoders(args.lake).save(args.as_of, encoder.save, **about)
            write_card(version)
            run.tags({"version": version.name})
            run.file(version.folder / "README.md")
            report |= {"version": version.name, "why": f"{version.name}: {numbers}"}
    shutil.rmtree(state)
    return conclude(folder, report)


def parser() -> argparse.ArgumentParser:
    """Return the step's arguments."""
    known = step_parser(__doc__)
    known.add_argument("--shop", required=True, help="name of MLflow's experiment")
    known.add_argument("--mlflow-home", type=Path, required=True, help="folder of MLflow's store")
    known.add_argument("--base-model", default=models.PACKAGED, help="name or path (default: %(default)s)")
    known.add_argument(
        "--method", choices=(*METHODS, "off"), default="lora",
        help="low-rank additions, all weights, or no fine-tuning (default: %(default)s)",
    )  # fmt: skip
    known.add_argument("--seed", type=int, default=0, help="of additions, batches, dropout (default: %(default)s)")
    known.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU where there is one"
    )
    known.add_argument("--time-budget", type=float, metavar="SECONDS", help="of the training (default: none)")
    return known


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    run_step("train_encoder", train_encoder, parser(), argv)


if __name__ == "__main__":
    main()

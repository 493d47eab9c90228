"""Train a recommender on everything but the last 7 days, which will decide whether it is promoted.

Trees are fitted on what was bought in the weeks before, as far as the text encoder has seen nothing of them. Reads
the features and the item vectors; leaves a version in the lake and its name in the day's challenger.json. State is
saved after each epoch: run again after an interruption, it goes on, and ends with the same model. Run again with
the same data, it finds its model ready. Where a budget of time is given, the sequence models take as many epochs
as fit into it on this machine, at least one. MLflow keeps parameters and curves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from expectations.tables import EVALUATION_DAYS, recommender_training_dir
from ml.recommender.champion import find_version, save_version
from ml.recommender.dataset import ActionLog, Shop, connect, day_number, load_shop, require_features_of
from ml.recommender.sequences import sequences_of
from ml.recommender.serving import items_of
from ml.recommender.settings import BlendSettings
from ml.recommender.snapshots import Snapshot, weekly_snapshots
from ml.recommender.tracking import tracked_run
from ml.recommender.train_model import MIN_SEQUENCE_ACTIONS, Items, Training, epochs_within, train_model
from ml.recommender.train_sequence_model import seconds_an_epoch
from ml.text_encoder import chosen, store
from qianmian.step import StepError, run_step, step_parser, write_atomically

log = logging.getLogger(__name__)

CHALLENGER = "challenger.json"
#: In the folder of a training's state: how many epochs were found to fit when it began.
EPOCHS = "epochs"
#: Of this code: another one gives another model from the same data.
RECIPE = 3


def fingerprint(actions: ActionLog, items: Items, text_version: str, training: Training) -> str:
    """Name what a model is a function of: data, text model, settings, seed, and the recipe itself."""
    digest = hashlib.sha256()
    known_actions = (actions.user, actions.item, actions.event, actions.time, actions.step, actions.quantity)
    # Texts may change under the same ids.
    for array in (*known_actions, items.is_candidate, items.text):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(items.ids).encode())
    known = [RECIPE, text_version, training.seed, asdict(training.sequence), asdict(training.blend), training.grid]
    digest.update(json.dumps(known, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def ready_challenger(folder: Path, lake: Path, of: str) -> dict[str, Any] | None:
    """Return the day's challenger if it was trained on just this."""
    try:
        known = json.loads((folder / CHALLENGER).read_text())
        find_version(lake, known["version"])
    except (OSError, ValueError, KeyError, StepError):
        return None
    return dict(known) if known.get("fingerprint") == of else None


def choose_device(wanted: str) -> str:
    """Return cuda or cpu; `auto` is cuda where there is one."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def with_epochs_that_fit(
    training: Training, actions: ActionLog, items: Items, seconds: float | None, state: Path
) -> Training:
    """Return the training with as many epochs as fit into `seconds` (None: its own), as it began with them.

    Two sequence models are trained, the first on fewer actions: each gets half. The number is kept in `state`, as
    a training that goes on after an interruption may find the machine slower or faster than it was.
    """
    if seconds is None:
        return training
    sequences = sequences_of(actions)
    if len(sequences.item) < MIN_SEQUENCE_ACTIONS:
        return training
    wanted, kept = training.sequence, state / EPOCHS
    if kept.is_file():
        return replace(training, sequence=replace(wanted, epochs=int(kept.read_text())))
    if any(state.glob("*.pt")):  # begun without a budget
        return training
    an_epoch = seconds_an_epoch(sequences, items.text, wanted, training.device)
    found = epochs_within(wanted, an_epoch, seconds / 2)
    if found.epochs < wanted.epochs:
        log.info("%.0f s an epoch: %d of %d epochs fit into half of %.0f s", an_epoch, found.epochs, wanted.epochs,
                 seconds)  # fmt: skip
    write_atomically(kept, str(found.epochs))
    return replace(training, sequence=found)


def snapshots_to_fit(lake: Path, shop: Shop, text_version: str, end: float) -> list[Snapshot]:
    """Return the weekly snapshots before `end` (days) whose weeks the text encoder has seen nothing of.

    Raises:
        StepError: there are none.

    """
    snapshots = weekly_snapshots(shop.log, end)
    if not snapshots:
        raise StepError(
            f"There is nothing to learn from: no week of the {len(shop.log.before(end))} actions before the last "
            "7 days has purchases of users who were known before.",
            "Run the daily job for a later day or with more history; until then the blend serves.",
        )
    unseen = chosen.vectors_unseen_from(lake, text_version)
    if unseen is None:
        return snapshots
    fit = [snapshot for snapshot in snapshots if snapshot.as_of >= day_number(unseen)]
    if len(fit) < len(snapshots):
        log.info("%d of %d weeks are left out: %s has seen days of them", len(snapshots) - len(fit),
                 len(snapshots), text_version)  # fmt: skip
    if not fit:
        raise StepError(
            f"There is nothing to learn from: the text encoder {text_version} has seen days before {unseen}, and "
            "every week that a recommender could be fitted on begins earlier.",
            "Train for a later day; or delete the encoder's promotion (lake/models/text_encoder/promotions/), and "
            "train again from embed_for_training on.",
        )
    return fit


def train_recommender(args: argparse.Namespace) -> dict[str, Any]:
    """Train, and say what came of it.

    Raises:
        StepError: the features are of another day, or there is too little to learn from.

    """
    text_version = store.chosen_version(args.lake, args.as_of, training=True)
    with connect(args.lake) as connection:
        require_features_of(connection, args.as_of)
        shop = load_shop(connection, args.as_of)
    cut = shop.end_of_day - EVALUATION_DAYS
    actions = shop.log.before(cut)
    snapshots = snapshots_to_fit(args.lake, shop, text_version, cut)
    items = items_of(shop, store.read(args.lake, text_version, shop.catalogue.text_hashes))
    folder = recommender_training_dir(args.lake, args.as_of)
    training = Training(BlendSettings(), seed=args.seed, device=choose_device(args.device))
    name = fingerprint(actions, items, text_version, training)
    ready = ready_challenger(folder, args.lake, name)
    if ready is not None:
        log.info("%s is trained on these data already", ready["version"])
        return {**ready, "note": "trained before on the same data: nothing to do"}
    for other in folder.glob("*"):
        if other.is_dir() and other.name != name:
            shutil.rmtree(other)  # of other data: nobody will go on with it
    state = folder / name
    log.info("training on %d actions, %d snapshots, device %s", len(actions), len(snapshots), training.device)
    training = with_epochs_that_fit(training, actions, items, args.time_budget, state)
    with tracked_run(args.mlflow_home, args.shop, f"{args.as_of} {name}", state / "mlflow_run_id") as run:
        run.parameters(
            {"as_of": args.as_of, "text_version": text_version, "actions": len(actions), "items": len(items.ids),
             "snapshots": len(snapshots), "seed": training.seed, "device": training.device,
             **{f"sequence_{name}": value for name, value in asdict(training.sequence).items()}}
        )  # fmt: skip
        trained = train_model(snapshots, actions, items, replace(training, checkpoints=state), run.figure)
        version = save_version(
            args.lake, args.as_of, trained.model.save, text_version, cut, ndcg_last_snapshot=trained.ndcg
        )
        for kind, value in trained.ndcg.items():
            run.figure(f"last_snapshot_ndcg_{kind}", value)
        run.tags({"version": version.name})
        run.file(version.folder / "about.json")
        report = {
            "version": version.name,
            "fingerprint": name,
            "mlflow_run_id": run.run_id,
            "epochs": training.sequence.epochs,
            "sequence_weight": trained.model.weight,
            "has_sequence_model": trained.model.sequence is not None,
            "has_ranker": trained.model.ranker is not None,
            "ndcg_last_snapshot": {kind: round(value, 6) for kind, value in trained.ndcg.items()},
            "settings": asdict(trained.model.settings),
        }
    write_atomically(folder / CHALLENGER, json.dumps(report, indent=2))
    shutil.rmtree(state)
    return report


def parser() -> argparse.ArgumentParser:
    """Return the step's arguments."""
    known = step_parser(__doc__)
    known.add_argument("--shop", required=True, help="name of MLflow's experiment")
    known.add_argument("--mlflow-home", type=Path, required=True, help="folder of MLflow's store")
    known.add_argument("--seed", type=int, default=0, help="of weights, batches, trees (default: %(default)s)")
    known.add_argument(
        "--time-budget", type=float, metavar="SECONDS",
        help="of the sequence models, about: fewer epochs where all would take longer (default: none)",
    )  # fmt: skip
    known.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU where there is one"
    )
    return known


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    run_step("train_recommender", train_recommender, parser(), argv)


if __name__ == "__main__":
    main()

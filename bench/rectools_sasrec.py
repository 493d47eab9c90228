"""RecTools' SASRec on a folder of next_item's shape, and our sequence model's speed on the same training data.

RecTools' dependencies differ from the project's, so it has an environment of its own, made on the first run;
the script then runs itself there (`--inside`). Both models have the same dimensions, blocks, heads, length and
threads; the loss is each one's own, and that decides most of the time: RecTools' softmax is over all items, its
sampled one over negatives drawn for each position, ours over negatives that a batch shares. RecTools fills every
history up to the full length. A training example is a target position: an item of a user's history to be told
from those before it. Seconds are those of the epochs, without reading data (ours: the first with making the
model).

RecTools trains on what is left of each user's history without the last two items. For the test the validation
item joins the history, without training again. Ours is only timed, with random text vectors: they cost what
real ones do. Ends with one line of JSON.

    python -m bench.rectools_sasrec DATA_DIR [--epochs N] [--threads N] [--length N] [--loss sampled_softmax]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

# The project's own packages are imported in functions: this file also runs where they are not.

#: rectools 0.19 wants numpy 1 and pandas 2, and with them an older pyarrow; any torch, so it gets the project's.
REQUIREMENTS = ("rectools[torch]==0.19.0", "torch==2.13.0", "pyarrow==21.0.0")
LISTED = 10
TEXT_DIMENSIONS = 384  # all-MiniLM-L6-v2's
Settings = dict[str, Any]


def environment(folder: Path) -> Path:
    """Return the Python of an environment with RecTools, making it where it is not there yet.

    Raises:
        subprocess.CalledProcessError: pip could not install it; what it said is on standard error.

    """
    python = folder / "bin" / "python"
    made = folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if not made.is_file() or made.read_text() != wanted:
        logging.info("installing %s into %s", ", ".join(REQUIREMENTS), folder)
        venv.create(folder, with_pip=True, clear=True, symlinks=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True, stdout=sys.stderr)
        made.write_text(wanted)
    return python


def run_inside(python: Path, data: Path, settings: Settings) -> dict[str, Any]:
    """Run this file's `train_rectools` with the other Python and return its figures."""
    threads = str(settings["threads"])
    here = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "figures.json"
        # -P: the folder of this file is no place to import from.
        subprocess.run(
            [python, "-P", __file__, data, "--inside", found, "--settings", json.dumps(settings)],
            check=True, stdout=sys.stderr,
            env={**here, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        )  # fmt: skip
        figures: dict[str, Any] = json.loads(found.read_text())
    return figures


def speed(n_examples: int, seconds: list[float]) -> dict[str, Any]:
    """Return examples a second of the median epoch, from an epoch's examples and the epochs' seconds."""
    return {
        "examples_an_epoch": n_examples,
        "epoch_seconds": [round(one, 1) for one in seconds],
        "examples_a_second": round(n_examples / float(np.median(seconds))),
    }


def train_rectools(data: Path, settings: Settings) -> dict[str, Any]:
    """Train RecTools' SASRecModel and return its speed and its Recall and NDCG at 10 on the test items.

    Args:
        data: folder with interactions.parquet.
        settings: arguments of SASRecModel, `epochs` among them, and `threads` and `seed`.

    """
    import pandas as pd
    import torch
    from pytorch_lightning import Callback, Trainer, seed_everything
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    torch.set_num_threads(settings["threads"])
    seed_everything(settings["seed"])
    rows = pd.read_parquet(data / "interactions.parquet", columns=["user_id", "item_id", "position", "split_loo"])
    # There are no dates: a position is a day.
    rows[Columns.Datetime] = pd.Timestamp("2000-01-01") + pd.to_timedelta(rows["position"], unit="D")
    rows[Columns.Weight] = 1.0

    def dataset(chosen: pd.Series) -> Dataset:
        return Dataset.construct(rows.loc[chosen, Columns.Interactions])

    epochs: list[float] = []

    class Clock(Callback):
        """Note how long each epoch takes."""

        def on_train_epoch_start(self, *_: object) -> None:
            self.began = time.perf_counter()

        def on_train_epoch_end(self, *_: object) -> None:
            epochs.append(time.perf_counter() - self.began)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=settings["epochs"], min_epochs=settings["epochs"], accelerator="cpu", callbacks=[Clock()],
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip

    arguments = {name: value for name, value in settings.items() if name not in ("threads", "seed", "epochs")}
    model = SASRecModel(**arguments, get_trainer_func=trainer, recommend_torch_device="cpu")
    began = time.perf_counter()
    model.fit(dataset(rows["split_loo"] == "train"))
    fitted = time.perf_counter()

    history, test = rows["split_loo"] != "test", rows[rows["split_loo"] == "test"]
    lists = model.recommend(
        users=test["user_id"].to_numpy(), dataset=dataset(history), k=LISTED, filter_viewed=True,
        on_unsupported_targets="ignore",
    )  # fmt: skip
    rank = test.merge(lists, on=["user_id", "item_id"])[Columns.Rank].to_numpy()
    length = rows[rows["split_loo"] == "train"].groupby("user_id").size()
    # A user's sequence is cut to its last session_max_len targets.
    n_examples = int((length - 1).clip(upper=settings["session_max_len"]).sum())
    return {
        **speed(n_examples, epochs),
        "seconds_fit": round(fitted - began, 1),
        "seconds_listing": round(time.perf_counter() - fitted, 1),
        "recall@10": round(len(rank) / len(test), 4),
        "ndcg@10": round(float((1 / np.log2(rank + 1)).sum() / len(test)), 4),
        "tested_users": len(test),
        "test_history": "validation item joined, not trained on",
        "torch": torch.__version__,
    }


def time_ours(data: Path, settings: Settings) -> dict[str, Any]:
    """Train our sequence model for as many epochs on the same training data and return its speed."""
    import torch

    from bench.next_item import as_log, load
    from ml.recommender.sequence_model import SequenceSettings
    from ml.recommender.sequences import sequences_of
    from ml.recommender.train_sequence_model import train

    torch.set_num_threads(settings["threads"])
    users, places, split, n_users, n_items, _ = load(data)
    chosen = split == "train"
    sequences = sequences_of(as_log(users[chosen], places[chosen], n_users, n_items))
    text = np.random.default_rng(settings["seed"]).standard_normal((n_items, TEXT_DIMENSIONS)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    ours = replace(
        SequenceSettings(), dimensions=settings["n_factors"], blocks=settings["n_blocks"],
        heads=settings["n_heads"], length=settings["session_max_len"], epochs=settings["epochs"],
    )  # fmt: skip
    stamps = [time.perf_counter()]
    train(
        sequences, text, ours, settings["seed"], after_epoch=lambda *_: stamps.append(time.perf_counter())
    )  # fmt: skip
    n_examples = int(np.maximum(np.diff(sequences.starts) - 1, 0).sum())
    return {
        **speed(n_examples, np.diff(stamps).tolist()),
        "negatives": min(ours.negatives, n_items),
        "text": "random vectors",
        "torch": torch.__version__,
    }


def main() -> None:
    """Run both and print the figures; with --inside, run RecTools here and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with interactions.parquet and items.parquet")
    parser.add_argument("--epochs", type=int, default=1, help="of both models (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of both models (default: %(default)s)")
    parser.add_argument("--length", type=int, default=50, help="items read, of both models (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    parser.add_argument(
        "--loss", choices=("softmax", "sampled_softmax"), default="softmax",
        help="RecTools': over all items, or over --negatives of each position's own (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--negatives", type=int, default=256, help="of sampled_softmax (default: %(default)s)")
    parser.add_argument(
        "--environment", type=Path, default=Path("var/rectools_env"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--inside", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.inside is not None:
        args.inside.write_text(json.dumps(train_rectools(args.data, args.settings)))
        return
    settings: Settings = {
        "n_factors": 128, "n_blocks": 2, "n_heads": 4, "session_max_len": args.length, "dropout_rate": 0.2,
        "lr": 1e-3, "batch_size": 128, "loss": args.loss, "epochs": args.epochs, "threads": args.threads,
        "seed": args.seed,
    }  # fmt: skip
    if args.loss == "sampled_softmax":
        settings["n_negatives"] = args.negatives
    # pip and the imports are no part of the timing, so the order does not matter; one runs at a time.
    found = {"rectools": run_inside(environment(args.environment), args.data.resolve(), settings)}
    if importlib.util.find_spec("ml.recommender.train_sequence_model"):
        found["ours"] = time_ours(args.data, settings)
    print(
        json.dumps(
            {
                "bench": "rectools_sasrec",
                "data": args.data.name,
                **found,
                "settings": settings,
                "requirements": REQUIREMENTS,
            }
        )
    )


if __name__ == "__main__":
    main()

"""Next item on Amazon Beauty 2014 or a folder of its shape: blend, sequence model, both mixed, and the ranker.

Every user's last item is the test, the one before it the validation, the rest trains. All items are ranked,
those in the user's history barred. Settings are chosen on validation alone; for the test the validation item
joins the history and the counts. Ends with one line of JSON.

    python -m bench.next_item DATA_DIR [--seed N] [--device cpu|cuda] [--time-budget SECONDS] [--peers]
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np

from bench.peers import peer_lists
from ml.metrics.beyond_accuracy import beyond_accuracy
from ml.metrics.ranking import hits_at, ndcg, recall
from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.settings import BlendSettings
from ml.recommender.snapshots import Snapshot
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import (
    Items,
    Training,
    epochs_within,
    sources_at,
    train_model,
    train_sequences,
)
from ml.recommender.tune import Targets
from ml.text_encoder import models
from ml.text_encoder.encode import encode_chunks

TUNING_USERS = 6000
WORDY_SHARE = 0.2  # of values with a space in them: fewer, and a column holds ids
AS_OF = 0.0  # a position has no date: time is minus the number of actions that follow
#: One position is one tick, so half-lives count positions; there is no trend without dates.
START = BlendSettings(
    half_life=2.0, recency_floor=0.0, step_decay=0.85, max_step_gap=20, evidence_power=0.4, candidate_power=0.1,
    trend_power=0.0, text_weight=0.6, revisit_weight=0.0, buy_again_weight=0.0, popular_weight=0.001,
)  # fmt: skip
GRID = (
    ("candidate_power", (0.0, 0.2, 0.3)),
    ("evidence_power", (0.3, 0.5)),
    ("half_life", (1.4, 3.0)),
    ("text_weight", (0.0, 0.3, 1.0, 1.5)),
    ("popular_weight", (0.0, 0.01, 0.05)),
)


def text_columns(folder: Path) -> list[str]:
    """Return SQL for each column of items.parquet that holds words: lists of strings, and strings with spaces."""
    found = []
    for name, kind, *_ in duckdb.execute(f"describe select * from '{folder}/items.parquet'").fetchall():
        if kind == "VARCHAR[]":
            found.append(f"array_to_string(\"{name}\", ', ')")
        elif kind == "VARCHAR":
            share = duckdb.execute(
                f"""select avg((trim("{name}") like '% %')::int) from '{folder}/items.parquet'"""
            )
            if ((share.fetchone() or (0,))[0] or 0) > WORDY_SHARE:
                found.append(f'"{name}"')
    # The title says it best, and the encoder reads the beginning.
    return sorted(found, key=lambda column: (column != '"title"', "keyword" in column))


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int, list[str]]:
    """Return the interactions (user, item, split), the number of users and items, and the items' texts."""
    rows = duckdb.execute(
        f"""
        select dense_rank() over (order by user_id) - 1 as user_place, items.place, split_loo
        from '{folder}/interactions.parquet' as interactions
        inner join (
            select item_id, row_number() over (order by item_id) - 1 as place from '{folder}/items.parquet'
        ) as items using (item_id)
        order by user_id, position
        """
    ).fetchnumpy()
    columns = [column for column in text_columns(folder) if "keyword" not in column] or text_columns(folder)
    words = f"concat_ws('. ', {', '.join(columns)})" if columns else "''"
    logging.info("item text: %s", words)
    texts = duckdb.execute(f"select {words} from '{folder}/items.parquet' order by item_id").fetchall()
    users, items = (np.asarray(rows[name], dtype=np.int64) for name in ("user_place", "place"))
    split = np.asarray(np.ma.filled(rows["split_loo"], ""), dtype=str)
    return users, items, split, int(users.max()) + 1, len(texts), [text for (text,) in texts]


def encode(texts: list[str], model: str) -> np.ndarray:
    """Return the texts' vectors in their order."""
    chunks = list(encode_chunks(models.load(models.locate(model)), texts))
    vectors = np.zeros((len(texts), chunks[0][1].shape[1]), dtype=np.float32)
    for places, values in chunks:
        vectors[places] = values
    return vectors


def as_log(user: np.ndarray, item: np.ndarray, n_users: int, n_items: int) -> ActionLog:
    """Make actions of positions: each a purchase and a step of its own, as old as the actions after it."""
    last = np.cumsum(np.bincount(user, minlength=n_users)) - 1
    age = last[user] - np.arange(len(user)) + 1.0
    one = np.ones(len(user))
    return ActionLog(
        user, item, np.full(len(user), PURCHASE, dtype=np.int8), AS_OF - age, np.arange(len(user)), one,
        n_users, n_items,
    )  # fmt: skip


def as_targets(user: np.ndarray, item: np.ndarray, chosen: np.ndarray, n_users: int) -> Targets:
    """Return the one item that each user is to be offered."""
    target = np.zeros(n_users, dtype=np.int64)
    target[user[chosen]] = item[chosen]
    return Targets(np.arange(n_users), np.arange(n_users), target)


def figures_of(lists: np.ndarray, targets: Targets, n_items: int) -> dict[str, float]:
    """Return Recall and NDCG at 5 and 10 over all users."""
    hits = hits_at(lists, targets.row, targets.item, n_items)
    return {
        f"{name}@{k}": round(float(of(hits, targets.per_user, k).mean()), 4)
        for k in (5, 10)
        for name, of in (("recall", recall), ("ndcg", ndcg))
    }


def item_users(log: ActionLog) -> np.ndarray:
    """Return how many users acted on each item."""
    return np.bincount(np.unique(log.user * log.n_items + log.item) % log.n_items, minlength=log.n_items)


def epochs_for(log: ActionLog, items: Items, training: Training, seconds: float) -> Training:
    """Time one epoch and keep as many as let both trainings of the sequence model fit into `seconds`."""
    one = replace(training, sequence=replace(training.sequence, epochs=1))
    began = time.perf_counter()
    train_sequences(log, items, one, "timing", None)
    an_epoch = time.perf_counter() - began
    sequence = epochs_within(training.sequence, an_epoch, seconds / 2)
    logging.info("an epoch takes %.0f s: %d epochs", an_epoch, sequence.epochs)
    return replace(training, sequence=sequence)


def main() -> None:
    """Run the protocol and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with interactions.parquet and items.parquet")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="text encoder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches, trees (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the sequence model trains")
    parser.add_argument(
        "--time-budget", type=float, default=1800.0, metavar="SECONDS",
        help="for everything after encoding; short ones mean fewer epochs (default: %(default).0f)",
    )  # fmt: skip
    parser.add_argument("--peers", action="store_true", help="popularity and implicit's recommenders too")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.perf_counter()
    users, places, split, n_users, n_items, texts = load(args.data)
    vectors = encode(texts, args.model)
    encoded = time.perf_counter()
    is_candidate = np.ones(n_items, dtype=bool)
    items = Items(np.arange(n_items), vectors, text_similarities(vectors, is_candidate, START), is_candidate)
    everyone = np.arange(n_users)

    def known(chosen: np.ndarray) -> ActionLog:
        return as_log(users[chosen], places[chosen], n_users, n_items)

    train_log, whole_log = known(split == "train"), known(split != "test")
    training = Training(
        START, grid=GRID, k=10, tuning_cells=TUNING_USERS * n_items, seed=args.seed, device=args.device
    )
    # A third of the budget is left for dials, features and trees.
    training = epochs_for(train_log, items, training, args.time_budget * 2 / 3)
    held_out = as_targets(users, places, split == "valid", n_users)
    trained = train_model([Snapshot(train_log, AS_OF, held_out)], whole_log, items, training)
    model = trained.model
    chosen_at = time.perf_counter()
    valid = {name: figures_of(lists, held_out, n_items) for name, lists in trained.lists.items()}

    targets = as_targets(users, places, split == "test", n_users)
    sequence = model.sequence_on(items.ids, items.text)
    sources = sources_at(whole_log, AS_OF, items, model.settings, sequence)
    names, weights = ("blend", "sequence_model", "mixture"), (0.0, 1.0, model.weight)
    lists = dict(zip(names, sources.lists(everyone, weights, 10), strict=True))
    lists["learned"] = model.lists(sources, everyone, 10)
    listed_at = time.perf_counter()
    if args.peers:
        found = peer_lists(train_log, held_out, whole_log, everyone, 10, allows_repeats=False, seed=args.seed)
        lists |= {f"peer_{name}": peer.lists for name, peer in found.items()}
    test = {
        name: figures_of(of_all, targets, n_items)
        | {
            metric: round(value, 4)
            for metric, value in beyond_accuracy(
                of_all, 10, n_items, item_users(whole_log), n_users, vectors
            ).items()
        }
        for name, of_all in lists.items()
    }
    print(
        json.dumps(
            {
                "bench": "next_item",
                "data": args.data.name,
                "users": n_users,
                "items": n_items,
                "seed": args.seed,
                "valid": valid,
                "test": test,
                "sequence_weight": model.weight,
                "epochs": training.sequence.epochs,
                "dimensions": training.sequence.dimensions,
                "settings": {name: getattr(model.settings, name) for name, _ in GRID},
                "seconds_encoding": round(encoded - started, 1),
                "seconds_training": round(chosen_at - encoded, 1),
                "seconds_listing": round(listed_at - chosen_at, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

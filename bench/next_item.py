"""Next item on Amazon Beauty 2014 or a folder of its shape: blend, sequence model, both mixed, and the ranker.

Every user's last item is the test, the one before it the validation, the rest trains. All items are ranked,
those in the user's history barred: a test item that is among them is missed, and their share is told. Settings are
chosen on validation alone; for the test the validation item joins the history and the counts. `learned` gives new
items the places of their own that a shop's daily run gives them; `learned_without_lift` does not. Ends with one
line of JSON.

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
from ml.recommender.sequences import sequences_of
from ml.recommender.settings import BlendSettings
from ml.recommender.snapshots import Snapshot
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import Items, Training, epochs_within, sources_at, train_model
from ml.recommender.train_sequence_model import seconds_an_epoch
from ml.recommender.tune import Targets
from ml.text_encoder import models
from ml.text_encoder.encode import encode_chunks

TUNING_USERS = 6000
TUNING_CELLS = 200_000_000  # users x items of one trial of a dial: some seconds
RANKER_USERS = 25_000  # described for the trees, 43 kB each; evenly spaced over the ids where there are more
#: Actions that the sequence model reads: as many as nine of ten users have, within these bounds.
LENGTHS = (50, 200)
WORDY_SHARE = 0.2  # of values with a space in them: fewer, and a column holds ids
AS_OF = 0.0  # a position has no date: time is minus the number of actions that follow
#: One position is one tick, so half-lives count positions; there is no trend without dates.
START = BlendSettings(
    half_life=2.0, recency_floor=0.0, step_decay=0.85, max_step_gap=20, evidence_power=0.4, candidate_power=0.1,
    trend_power=0.0, text_weight=0.6, revisit_weight=0.0, buy_again_weight=0.0, popular_weight=0.001,
    repeat_threshold=2.0,
)  # fmt: skip
GRID = (
    ("candidate_power", (0.0, 0.2, 0.3)),
    ("evidence_power", (0.3, 0.5)),
    ("half_life", (1.4, 3.0, 6.0, 15.0, 50.0)),
    ("text_weight", (0.0, 0.3, 1.0, 1.5)),
    ("popular_weight", (0.0, 0.01, 0.05)),
)


def text_columns(folder: Path) -> list[str]:
    """Return SQL for each column of items.parquet that holds words: strings, or lists of them, with spaces."""
    found = []
    for name, kind, *_ in duckdb.execute(f"describe select * from '{folder}/items.parquet'").fetchall():
        if kind not in ("VARCHAR", "VARCHAR[]"):
            continue
        one = f'unnest("{name}")' if kind == "VARCHAR[]" else f'"{name}"'
        share = duckdb.execute(
            f"select avg((trim(one) like '% %')::int) from (select {one} as one from '{folder}/items.parquet')"
        )
        if ((share.fetchone() or (0,))[0] or 0) > WORDY_SHARE:
            found.append(f"array_to_string(\"{name}\", ', ')" if kind == "VARCHAR[]" else f'"{name}"')
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
    """Return the texts' vectors in their order; zeros where there is no text: it is like no other."""
    chunks = list(encode_chunks(models.load(models.locate(model)), texts))
    vectors = np.zeros((len(texts), chunks[0][1].shape[1]), dtype=np.float32)
    for places, values in chunks:
        vectors[places] = values
    vectors[[not (text or "").strip() for text in texts]] = 0.0
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


def as_targets(user: np.ndarray, item: np.ndarray, chosen: np.ndarray) -> Targets:
    """Return the one item that each user who has one is to be offered."""
    return Targets(user[chosen], np.arange(int(chosen.sum())), item[chosen])


def share_in_history(log: ActionLog, targets: Targets) -> float:
    """Return the share of targets that the user has had: barred, so that nobody can hit them."""
    known = np.unique(log.user * log.n_items + log.item)
    return float(np.isin(targets.users * log.n_items + targets.item, known).mean())


def figures_of(lists: np.ndarray, targets: Targets, n_items: int) -> dict[str, float]:
    """Return Recall and NDCG at 5 and 10 over all users."""
    hits = hits_at(lists, targets.row, targets.item, n_items)
    return {
        f"{name}@{k}": round(float(of(hits, targets.per_user, k).mean()), 4)
        for k in (5, 10)
        for name, of in (("recall", recall), ("ndcg", ndcg))
    }


def tuning_cells(n_items: int) -> int:
    """Return how many users x items a dial is tried on."""
    return min(TUNING_USERS * n_items, TUNING_CELLS)


def item_users(log: ActionLog) -> np.ndarray:
    """Return how many users acted on each item."""
    return np.bincount(np.unique(log.user * log.n_items + log.item) % log.n_items, minlength=log.n_items)


def fitted(log: ActionLog, items: Items, training: Training, seconds: float) -> Training:
    """Let the sequence model read as much as users have, in as many epochs as fit into `seconds` twice over."""
    per_user = np.bincount(log.user, minlength=log.n_users)
    length = int(np.clip(np.quantile(per_user, 0.9), *LENGTHS))
    sequence = replace(training.sequence, length=length)
    an_epoch = seconds_an_epoch(sequences_of(log), items.text, sequence, training.device)
    sequence = epochs_within(sequence, an_epoch, seconds / 2)
    logging.info("%d actions are read, an epoch takes %.0f s: %d epochs", length, an_epoch, sequence.epochs)
    return replace(training, sequence=sequence)


def main(argv: list[str] | None = None) -> None:
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
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.perf_counter()
    users, places, split, n_users, n_items, texts = load(args.data)
    vectors = encode(texts, args.model)
    encoded = time.perf_counter()
    is_candidate = np.ones(n_items, dtype=bool)
    items = Items(np.arange(n_items), vectors, text_similarities(vectors, is_candidate, START), is_candidate)

    def known(chosen: np.ndarray) -> ActionLog:
        return as_log(users[chosen], places[chosen], n_users, n_items)

    train_log, whole_log = known(split == "train"), known(split != "test")
    training = Training(
        START, grid=GRID, k=10, tuning_cells=tuning_cells(n_items), seed=args.seed, device=args.device
    )
    # A third of the budget is left for dials, features and trees.
    training = fitted(train_log, items, training, args.time_budget * 2 / 3)
    held_out = as_targets(users, places, split == "valid").some(RANKER_USERS)
    trained = train_model([Snapshot(train_log, AS_OF, held_out)], whole_log, items, training)
    model = trained.model
    chosen_at = time.perf_counter()
    valid = {name: figures_of(lists, held_out, n_items) for name, lists in trained.lists.items()}

    targets = as_targets(users, places, split == "test")
    sequence = model.sequence_on(items.ids, items.text)
    sources = sources_at(whole_log, AS_OF, items, model.settings, sequence)
    names, weights = ("blend", "sequence_model", "mixture"), (0.0, 1.0, model.weight)
    lists = dict(zip(names, sources.lists(targets.users, weights, 10), strict=True))
    lists["learned"] = model.lists(sources, targets.users, 10)
    if model.new_item_lift:
        lists["learned_without_lift"] = replace(model, new_item_lift=0.0).lists(sources, targets.users, 10)
    listed_at = time.perf_counter()
    if args.peers:
        found = peer_lists(train_log, held_out, whole_log, targets.users, 10, allows_repeats=False, seed=args.seed)
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
                "users_tested": len(targets.users),
                "tests_in_history": round(share_in_history(whole_log, targets), 4),
                "seed": args.seed,
                "valid": valid,
                "test": test,
                "sequence_weight": model.weight,
                "has_ranker": model.ranker is not None,
                "new_item_lift": model.new_item_lift,
                "epochs": training.sequence.epochs,
                "length": training.sequence.length,
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

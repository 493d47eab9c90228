"""Next item on Amazon Beauty 2014 or a folder of its shape: blend, sequence model, both mixed, and a ranker.

Every user's last item is the test, the one before it the validation, the rest trains. All items are ranked,
those in the user's history barred. Settings are chosen on validation alone; for the test the validation item
joins the history and the counts. Ends with one line of JSON.

    python -m bench.next_item DATA_DIR [--seed N] [--device cpu|cuda] [--time-budget SECONDS]
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

from ml.metrics.ranking import hits_at, ndcg, recall
from ml.recommender.blend import Blend, ItemKnowledge, learn
from ml.recommender.dataset import PURCHASE, ActionLog
from ml.recommender.mixture import Mixture, choose_weight
from ml.recommender.popular import measured_popularity
from ml.recommender.ranker import choose_ranker, cross_fitted_lists, find_candidates
from ml.recommender.sequence_model import SequenceSettings
from ml.recommender.settings import BlendSettings
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_sequence_model import train
from ml.recommender.tune import Targets, choose_settings
from ml.text_encoder import models
from ml.text_encoder.encode import encode_chunks

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
    texts = duckdb.execute(
        f"""
        select concat_ws('. ', title, array_to_string(attributes, ', ')) from '{folder}/items.parquet'
        order by item_id
        """
    ).fetchall()
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


def measure(mixture: Mixture, weight: float, targets: Targets) -> dict[str, dict[str, float]]:
    """Return the figures of the blend, of the sequence model and of both mixed, before the ranker."""
    names = ("blend", "sequence_model", "mixture")
    lists = mixture.lists(targets.users, (0.0, 1.0, weight), 10)
    return {
        name: figures_of(found, targets, mixture.log.n_items) for name, found in zip(names, lists, strict=True)
    }


def starts_of(log: ActionLog) -> np.ndarray:
    """Return where each user's actions begin, and the end of the last."""
    return np.concatenate(([0], np.cumsum(np.bincount(log.user, minlength=log.n_users))))


def epochs_within(
    log: ActionLog, vectors: np.ndarray, settings: SequenceSettings, seconds: float, seed: int, device: str
) -> SequenceSettings:
    """Return the settings with as many epochs, at most their own, as fit into `seconds`: one is timed."""
    began = time.perf_counter()
    train(log.item, starts_of(log), vectors, replace(settings, epochs=1), seed, device=device)
    one = time.perf_counter() - began
    fit = max(1, int(seconds / one))
    logging.info("one epoch takes %.0f s: %d fit into %.0f s", one, fit, seconds)
    return replace(settings, epochs=min(settings.epochs, fit))


def main() -> None:
    """Run the protocol and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with interactions.parquet and items.parquet")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="text encoder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sequence model and of the users sampled")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the sequence model trains")
    parser.add_argument(
        "--time-budget", type=float, default=1800.0, metavar="SECONDS",
        help="for training, choosing and both trainings included; fewer epochs where it is short (default: 1800)",
    )  # fmt: skip
    parser.add_argument("--validation-users", type=int, default=6000, help="users to choose the blend's dials on")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.perf_counter()
    users, items, split, n_users, n_items, texts = load(args.data)
    vectors = encode(texts, args.model)
    encoded = time.perf_counter()
    is_candidate = np.ones(n_items, dtype=bool)
    text = text_similarities(vectors, is_candidate, START)
    everyone = np.zeros(n_users, dtype=np.int64)

    def learned(known: np.ndarray, settings: BlendSettings) -> tuple[ActionLog, ItemKnowledge]:
        log = as_log(users[known], items[known], n_users, n_items)
        popularity = measured_popularity(log, AS_OF, settings)
        return log, learn(log, text, popularity, is_candidate, AS_OF, settings)

    # Choices, on validation alone.
    log, knowledge = learned(split == "train", START)
    held_out = as_targets(users, items, split == "valid", n_users)
    chosen = np.sort(np.random.default_rng(args.seed).permutation(n_users)[: args.validation_users])
    sample = Targets(chosen, np.arange(len(chosen)), held_out.item[chosen])
    settings, _ = choose_settings(knowledge, log, sample, START, GRID, k=10, max_cells=n_users * n_items)
    # Two trainings share what is left of the budget.
    left = (args.time_budget - (time.perf_counter() - encoded)) / 2
    sequence = epochs_within(log, vectors, SequenceSettings(), left, args.seed, args.device)
    model = train(log.item, starts_of(log), vectors, sequence, args.seed, device=args.device)
    mixture = Mixture(Blend(knowledge, settings), model, log, starts_of(log), everyone)
    weight, _ = choose_weight(mixture, held_out, 10)
    valid = measure(mixture, weight, held_out)
    candidates = find_candidates(mixture, held_out.users, weight)
    ranker = choose_ranker(candidates, held_out, n_items, 10, args.seed)
    if ranker is not None:
        lists = cross_fitted_lists(candidates, held_out, n_items, 10, args.seed)
        valid["ranker, cross-fitted"] = figures_of(lists, held_out, n_items)

    # The test: the validation item joins the history, the counts and the training.
    log, knowledge = learned(split != "test", settings)
    model = train(log.item, starts_of(log), vectors, sequence, args.seed, device=args.device)
    mixture = Mixture(Blend(knowledge, settings), model, log, starts_of(log), everyone)
    targets = as_targets(users, items, split == "test", n_users)
    test = measure(mixture, weight, targets)
    if ranker is not None:
        lists = ranker.lists(find_candidates(mixture, targets.users, weight), 10)
        test["ranker"] = figures_of(lists, targets, n_items)
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
                "sequence_weight": weight,
                "epochs": sequence.epochs,
                "settings": {name: getattr(settings, name) for name, _ in GRID},
                "seconds_encoding": round(encoded - started, 1),
                "seconds_rest": round(time.perf_counter() - encoded, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

"""New items on Amazon Beauty 2014 or a folder of its shape: what nobody has acted on yet, found through its text.

415 items, drawn by seed, are held out wholly: nothing that anybody did with them is read, neither in training nor
in histories. Measured are the users whose last item is one of them; all items are ranked, old and new. As many
other items are held out where the ranker is fitted, so that it meets new items, as it does from week to week in a
shop. The baseline is text neighbours alone, by the same histories, tuned on the validation items of these others.
Ends with one line of JSON.

    python -m bench.cold_items DATA_DIR [--seed N] [--items 415] [--device cpu|cuda]
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.next_item import AS_OF, GRID, START, as_log, encode, figures_of, load, tuning_cells
from ml.recommender.dataset import ActionLog
from ml.recommender.settings import BlendSettings
from ml.recommender.snapshots import Snapshot
from ml.recommender.sources import Sources
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import Items, Training, sources_at, train_model
from ml.recommender.tune import Targets, choose_settings

#: Text neighbours alone: no counts, no popularity but to fill a list up.
TEXT_ONLY = replace(START, item_to_item_weight=0.0, text_weight=1.0, popular_weight=1e-6)
TEXT_GRID = (("half_life", (1.4, 3.0, 6.0)), ("popular_weight", (1e-3,)))


def of_some(targets: Targets, items: np.ndarray) -> Targets:
    """Keep the users whose item is one of `items`."""
    kept = np.isin(targets.item, items)
    return Targets(targets.users[kept], np.arange(kept.sum()), targets.item[kept])


def main() -> None:
    """Run the protocol and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with interactions.parquet and items.parquet")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="text encoder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and the training (default: %(default)s)")
    parser.add_argument("--items", type=int, default=415, help="to hold out (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the sequence model trains")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    users, places, split, n_users, n_items, texts = load(args.data)
    vectors = encode(texts, args.model)
    started = time.perf_counter()
    drawn = np.random.default_rng(args.seed).permutation(n_items)
    cold, cold_in_training = drawn[: args.items], drawn[args.items : 2 * args.items]

    def catalogue(is_candidate: np.ndarray) -> Items:
        similar = text_similarities(vectors, is_candidate, START)
        return Items(np.arange(n_items), vectors, similar, is_candidate)

    # While choices are made, the items of the test do not exist yet: shown then, they would only ever be misses.
    items_then = catalogue(~np.isin(np.arange(n_items), cold))
    items = catalogue(np.ones(n_items, dtype=bool))

    def known(chosen: np.ndarray, unknown: np.ndarray) -> ActionLog:
        chosen = chosen & ~np.isin(places, unknown)
        return as_log(users[chosen], places[chosen], n_users, n_items)

    def last(part: str, but: np.ndarray) -> Targets:
        chosen = (split == part) & ~np.isin(places, but)
        return Targets(users[chosen], np.arange(chosen.sum()), places[chosen])

    train_log = known(split == "train", drawn[: 2 * args.items])
    held_out = last("valid", cold)
    training = Training(
        START, grid=GRID, k=10, tuning_cells=tuning_cells(n_items), seed=args.seed, device=args.device
    )
    whole_log = known(split != "test", cold)
    trained = train_model([Snapshot(train_log, AS_OF, held_out)], whole_log, items_then, training)
    model = trained.model

    def text_alone(log: ActionLog, of: Items, settings: BlendSettings) -> Sources:
        return sources_at(log, AS_OF, of, settings, None)

    validation = text_alone(train_log, items_then, TEXT_ONLY)
    text_settings, _ = choose_settings(
        validation.blend.items, validation.log, of_some(held_out, cold_in_training), TEXT_ONLY, TEXT_GRID, 10,
        training.tuning_cells,
    )  # fmt: skip
    everyone = last("test", drawn[:0])
    targets = of_some(everyone, cold)
    sources = sources_at(whole_log, AS_OF, items, model.settings, model.sequence_on(items.ids, items.text))
    weights = (0.0, 1.0, model.weight)
    lists = dict(
        zip(("blend", "sequence_model", "mixture"), sources.lists(targets.users, weights, 10), strict=True)
    )
    lists["learned"] = model.lists(sources, targets.users, 10)
    [lists["text_neighbours"]] = text_alone(whole_log, items, text_settings).lists(targets.users, (0.0,), 10)
    test = {name: figures_of(found, targets, n_items) for name, found in lists.items()}
    overall = figures_of(model.lists(sources, everyone.users, 10), everyone, n_items)
    print(
        json.dumps(
            {
                "bench": "cold_items",
                "data": args.data.name,
                "seed": args.seed,
                "items_held_out": args.items,
                "users": len(targets.users),
                "test": test,
                "learned_over_text_neighbours": round(
                    test["learned"]["recall@10"] / max(test["text_neighbours"]["recall@10"], 1e-9) - 1, 3
                ),
                "learned_all_users": overall,
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

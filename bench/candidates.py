"""What it takes to score all items for users and to find and describe their candidates, as each day's lists need.

On Amazon Beauty 2014 or a folder of its shape. The sequence model is not a trained one, which takes the same time.
Trees and the writing of tables are left out. Prints one line of JSON; nanoseconds are those of one user and one
item: multiplied by both they tell of a shop of any size.

    python -m bench.candidates DATA_DIR [--users N] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
import torch

from bench.next_item import AS_OF, START, as_log, encode, load
from ml.recommender.candidates import find_candidates
from ml.recommender.sequence_model import SequenceModel, SequenceSettings
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import Items, sources_at

WEIGHT = 0.4  # of the sequence model: that it enters is what counts


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with interactions.parquet and items.parquet")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="text encoder (default: %(default)s)")
    parser.add_argument(
        "--users", type=int, default=2_500, help="evenly spaced over the ids (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    users, places, split, n_users, n_items, texts = load(args.data)
    vectors = encode(texts, args.model)
    everything = np.ones(n_items, dtype=bool)
    items = Items(np.arange(n_items), vectors, text_similarities(vectors, everything, START), everything)
    chosen = split == "train"
    log = as_log(users[chosen], places[chosen], n_users, n_items)
    torch.manual_seed(0)
    model = SequenceModel(torch.from_numpy(vectors), torch.ones(n_items, dtype=torch.bool), SequenceSettings())
    sources = sources_at(log, AS_OF, items, START, model.eval())
    asked = np.unique(np.linspace(0, n_users - 1, min(args.users, n_users)).astype(np.int64))
    find_candidates(sources, asked[:8], WEIGHT)  # what is learned once for all users
    began = time.perf_counter()
    for _ in sources.scores(asked):
        pass
    scored = time.perf_counter()
    find_candidates(sources, asked, WEIGHT)
    found = time.perf_counter()
    cells = len(asked) * n_items
    print(
        json.dumps(
            {
                "bench": "candidates",
                "data": args.data.name,
                "users": len(asked),
                "items": n_items,
                "threads": args.threads,
                "scores_ns": round((scored - began) / cells * 1e9, 1),
                "candidates_ns": round((found - scored) / cells * 1e9, 1),
                "users_a_second": round(len(asked) / (found - scored), 1),
            }
        )
    )


if __name__ == "__main__":
    main()

"""Fine-tuning on Amazon Beauty 2014 or a folder of its shape: is a new item found better through its text?

415 items, drawn by seed as in bench.cold_items, are held out wholly: no pair and no history holds them. Measured
are the users whose last item is one of them, by text alone: all items are ranked by the encoder's vectors and by
what the user had before. As many other items are held out for every choice that is made here: the state at which
training stops, and how text neighbours are summed up. The base model and the fine-tuned one answer the same
questions by the same rules. Prints one line of JSON a seed.

    python -m bench.finetune DATA_DIR [--seeds N ...] [--method lora|full] [--time-budget SECONDS]
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bench.cold_items import of_some
from bench.next_item import AS_OF, START, as_log, load
from ml.metrics.ranking import hits_at, ndcg, recall
from ml.recommender.dataset import ActionLog
from ml.recommender.promotion import paired_interval
from ml.recommender.tune import Targets
from ml.text_encoder import models
from ml.text_encoder.fine_tuning.encoder import TextEncoder
from ml.text_encoder.fine_tuning.evaluate import Questions, ask, lists_of, mean_ndcg, sampled
from ml.text_encoder.fine_tuning.pairs import ItemTexts, find_pairs
from ml.text_encoder.fine_tuning.settings import METHODS, FineTuning, defaults_of
from ml.text_encoder.fine_tuning.team import Team
from ml.text_encoder.fine_tuning.train import Exam, Trainer

K = 10
#: Asked while training: a quarter of the texts, encoded a few times.
EXAM = {"exam_users": 600, "exam_items": 1_500, "exam_history": 3, "evaluations": 4}
#: Chosen on the validation items, for each model by itself: after how many positions what a user had counts half,
#: and the power of cosines.
RULES = [(half_life, power) for half_life in (1.4, 3.0) for power in (4.0, 8.0)]


def by_user(vectors: np.ndarray, questions: Questions, power: float) -> dict[str, np.ndarray]:
    """Return each user's Recall and NDCG at 10."""
    targets = questions.targets
    hits = hits_at(lists_of(vectors, questions, K, power), targets.row, targets.item, len(vectors))
    return {"recall@10": recall(hits, targets.per_user, K), "ndcg@10": ndcg(hits, targets.per_user, K)}


@dataclass(frozen=True)
class Split:
    """One draw of held-out items: what may be learned from, and whom to ask for what was held out."""

    data: tuple[np.ndarray, np.ndarray, np.ndarray, int, int, list[str]]
    drawn: np.ndarray
    held_out: int

    def log(self, parts: tuple[str, ...], but: np.ndarray) -> ActionLog:
        """Return the interactions of some parts of the split without those of the items `but`."""
        users, places, split, n_users, n_items, _ = self.data
        chosen = np.isin(split, parts) & ~np.isin(places, but)
        return as_log(users[chosen], places[chosen], n_users, n_items)

    def last(self, part: str, items: np.ndarray) -> Targets:
        """Return the users whose item in a part is one of `items`."""
        users, places, split, *_ = self.data
        chosen = split == part
        return of_some(Targets(users[chosen], np.arange(chosen.sum()), places[chosen]), items)

    @property
    def train_log(self) -> ActionLog:
        """What the pairs come from: none of the items held out, for test or for choices."""
        return self.log(("train",), self.drawn[: 2 * self.held_out])

    def validation(self, half_life: float) -> Questions:
        """Ask for the items that choices are made by; those of the test do not exist yet."""
        exists = np.ones(len(self.drawn), dtype=bool)
        exists[self.drawn[: self.held_out]] = False
        targets = self.last("valid", self.drawn[self.held_out : 2 * self.held_out])
        return ask(self.train_log, AS_OF, targets, exists, replace(START, half_life=half_life))

    def test(self, half_life: float) -> Questions:
        """Ask for the items held out, among all items."""
        cold = self.drawn[: self.held_out]
        everything = np.ones(len(self.drawn), dtype=bool)
        fading = replace(START, half_life=half_life)
        return ask(self.log(("train", "valid"), cold), AS_OF, self.last("test", cold), everything, fading)


def measure(split: Split, vectors: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Choose the rule for some vectors on validation items; return each test user's figures, and the choice."""
    values = {rule: mean_ndcg(vectors, split.validation(rule[0]), K, rule[1]) for rule in RULES}
    half_life, power = max(values, key=lambda rule: values[rule])
    chosen = {"half_life": half_life, "power": power, "validation_ndcg@10": round(values[half_life, power], 4)}
    return by_user(vectors, split.test(half_life), power), chosen


def run_seed(
    split: Split,
    model: str,
    settings: FineTuning,
    seed: int,
    device: str,
    budget: float | None,
    base: Tensor | None,
) -> tuple[dict[str, Any], Tensor]:
    """Train and measure; return the record to print, and the base model's vectors for the next seed."""
    texts = np.array(split.data[-1], dtype=object)
    pairs = find_pairs(split.train_log, ItemTexts(np.full(len(texts), ""), texts), settings.pairs)
    number = pairs.number_of(texts)
    encoder = TextEncoder(models.locate(model), pairs.texts, settings, device, seed)
    asked = sampled(split.validation(RULES[0][0]), settings.exam_users, settings.exam_items, settings.exam_history)
    exam = Exam(lambda vectors: mean_ndcg(vectors[number], asked, K), np.unique(number[asked.items]))
    trainer = Trainer(encoder, pairs, settings, seed, exam, Team())
    outcome = trainer.fit(seconds=budget, base=base)
    tuned = encoder.encode(np.arange(pairs.n_items))
    before, chosen_before = measure(split, trainer.base.cpu().numpy()[number])
    after, chosen_after = measure(split, tuned.cpu().numpy()[number])
    gain = after["recall@10"] - before["recall@10"]
    record = {
        "bench": "finetune",
        "seed": seed,
        "method": settings.method,
        "items_held_out": split.held_out,
        "users": len(gain),
        "base": {name: round(float(values.mean()), 4) for name, values in before.items()},
        "fine_tuned": {name: round(float(values.mean()), 4) for name, values in after.items()},
        "lift_of_recall@10": round(float(gain.mean() / before["recall@10"].mean()), 3),
        "recall@10_gained_90%": [round(edge, 4) for edge in paired_interval(gain)],
        "chosen": {"base": chosen_before, "fine_tuned": chosen_after},
        "training": asdict(outcome),
        "weights_trained": sum(p.numel() for p in encoder.trained().values()),
        "tokens_a_second": round(outcome.tokens / max(outcome.seconds, 1e-9)),
        "precision": str(encoder.precision).removeprefix("torch."),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    return record, trainer.base


def main() -> None:
    """Run the protocol and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with interactions.parquet and items.parquet")
    parser.add_argument("--model", default=models.PACKAGED, help="text encoder (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of split and training, one after the other (default: 0)"
    )
    parser.add_argument("--items", type=int, default=415, help="to hold out (default: %(default)s)")
    parser.add_argument("--method", choices=METHODS, default="lora", help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--time-budget", type=float, metavar="SECONDS", help="of each training (default: none)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a dial of FineTuning")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    dials = dict(one.split("=", 1) for one in args.set)
    changed: dict[str, Any] = {name: json.loads(value) for name, value in dials.items()}
    settings = replace(defaults_of(args.method), **{**EXAM, **changed})
    data = load(args.data)
    base = None
    for seed in args.seeds:
        split = Split(data, np.random.default_rng(seed).permutation(data[4]), args.items)
        record, base = run_seed(split, args.model, settings, seed, args.device, args.time_budget, base)
        print(json.dumps({**record, "data": args.data.name, "set": changed}), flush=True)


if __name__ == "__main__":
    main()

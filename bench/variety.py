"""What variety costs: NDCG against intra-list diversity and categories shown, over the re-rank's dial.

Pools of 60 by the blend's score, its settings chosen on the validation data, are re-ranked by DPP and by MMR with
every value of the dial, growing with the place or alike at all places. The default of `RerankSettings` was chosen
on the validation data: the largest value of the dial that loses at most 2% of NDCG, at 10 and at 20, on both data
sets. Ends with one line of JSON.

    python -m bench.variety DATA_DIR [--users 8000] [--vectors FILE.npy] [--plot FILE.svg]

DATA_DIR is a folder as bench.next_item or bench.next_basket reads it. Amazon Beauty's `attributes` mix brands and
categories: the department stands for the category, the word before it for the brand. Online Retail has neither.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import matplotlib
import numpy as np
from scipy import sparse

from bench import next_basket, next_item
from ml.metrics.beyond_accuracy import intra_list_diversity, is_tail, tail_share
from ml.metrics.ranking import bootstrap_mean, hits_at, ndcg
from ml.recommender.backtest import run_backtest
from ml.recommender.blend import Blend, learn
from ml.recommender.dataset import PURCHASE, ActionLog, day_number
from ml.recommender.popular import measured_popularity
from ml.recommender.recommend import Pool, recommend
from ml.recommender.settings import BlendSettings
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.tune import Targets, choose_settings
from ml.rerank.attributes import Attributes
from ml.rerank.reranker import Reranker
from ml.rerank.rules import Rules
from ml.rerank.settings import POOL_LENGTH, RerankSettings

matplotlib.use("svg")
from matplotlib import pyplot

K = 10
DIAL = (0.0, 0.1, 0.2, 0.3, 0.35, 0.38, 0.4, 0.42, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
#: The default, and what it was chosen among.
WAYS: dict[str, dict[str, Any]] = {
    "dpp": {},
    "dpp, alike at all places": {"varied_from": 1},
    "mmr": {"method": "mmr"},
}
MAX_LOSS = 0.02
DEPARTMENTS = ("Makeup", "Skin Care", "Hair Care", "Fragrance", "Tools & Accessories", "Bath & Body")


@dataclass(frozen=True)
class Pools:
    """Pools of users, users x POOL_LENGTH, and what row n's user chose next."""

    items: np.ndarray
    scores: np.ndarray
    targets: Targets
    bought: np.ndarray

    @classmethod
    def of(cls, blend: Blend, log: ActionLog, targets: Targets) -> Pools:
        """Ask the blend; `bought` counts purchases by item."""
        nobody = np.zeros(log.n_users, dtype=np.int64)
        shards = list(recommend(blend, log, nobody, targets.users, Pool(POOL_LENGTH)))
        known = log.before(blend.items.as_of)
        return cls(
            np.concatenate([shard.items for shard in shards]),
            np.concatenate([shard.scores for shard in shards]),
            targets,
            np.bincount(known.item[known.event == PURCHASE], minlength=log.n_items),
        )


@dataclass(frozen=True)
class Data:
    """A data set: validation and test pools, text vectors and attributes of its items."""

    name: str
    valid: Pools
    test: Pools
    vectors: np.ndarray
    attributes: Attributes


def vectors_of(texts: list[str], args: argparse.Namespace) -> np.ndarray:
    """Encode, or read what was encoded before."""
    if args.vectors is not None and args.vectors.is_file():
        return np.asarray(np.load(args.vectors))
    vectors = next_item.encode(texts, args.model)
    if args.vectors is not None:
        np.save(args.vectors, vectors)
    return vectors


def without_attributes(n_items: int) -> Attributes:
    """Return attributes of a catalogue that has none."""
    none = np.full(n_items, "", dtype=object)
    return Attributes.of(
        np.arange(n_items).astype(str).astype(object), none, category=none, brand=none, price_band=none
    )


def departments(folder: Path, n_items: int) -> Attributes:
    """Read categories and brands out of Amazon's attributes, where there are any."""
    kinds = {row[0] for row in duckdb.execute(f"describe select * from '{folder}/items.parquet'").fetchall()}
    if "attributes" not in kinds:
        return without_attributes(n_items)
    words = duckdb.execute(f"select attributes from '{folder}/items.parquet' order by item_id").fetchall()
    category, brand = np.full(n_items, "", dtype=object), np.full(n_items, "", dtype=object)
    for place, (of_item,) in enumerate(words):
        found = [n for n, word in enumerate(of_item or []) if word in DEPARTMENTS]
        if found:
            category[place] = of_item[found[0]]
            brand[place] = of_item[0] if found[0] == 1 and of_item[0] != "Unknown" else ""
    none = np.full(n_items, "", dtype=object)
    return Attributes.of(none, category, category=category, brand=brand, price_band=none)


def items_in_order(args: argparse.Namespace) -> Data:
    """Load a folder of bench.next_item: the last item is the test, the one before it the validation."""
    users, places, split, n_users, n_items, texts = next_item.load(args.data)
    vectors = vectors_of(texts, args)
    everything = np.ones(n_items, dtype=bool)
    text = text_similarities(vectors, everything, next_item.START)

    def blend_of(log: ActionLog, settings: BlendSettings) -> Blend:
        popularity = measured_popularity(log, next_item.AS_OF, settings)
        return Blend(learn(log, text, popularity, everything, next_item.AS_OF, settings), settings)

    def known(chosen: np.ndarray) -> ActionLog:
        return next_item.as_log(users[chosen], places[chosen], n_users, n_items)

    def wanted(part: str) -> Targets:
        return next_item.as_targets(users, places, split == part).some(args.users)

    train, whole = known(split == "train"), known(split != "test")
    start = blend_of(train, next_item.START)
    valid = wanted("valid")
    settings, _ = choose_settings(
        start.items, train, valid, next_item.START, next_item.GRID, K, next_item.TUNING_USERS * n_items
    )
    return Data(
        args.data.name,
        Pools.of(blend_of(train, settings), train, valid),
        Pools.of(blend_of(whole, settings), whole, wanted("test")),
        vectors,
        departments(args.data, n_items),
    )


def baskets(args: argparse.Namespace) -> Data:
    """Load the folder of bench.next_basket: the test is from November on, the validation the month before."""
    cut, until = date(2011, 11, 1), date(2011, 12, 10)
    shop, titles = next_basket.load(args.data, cut)
    vectors = vectors_of(titles, args)
    active = shop.catalogue.is_active
    text = text_similarities(vectors, active, BlendSettings())

    def pools(begin: float, end: float) -> Pools:
        settings = run_backtest(shop, text, begin, BlendSettings()).settings
        popularity = measured_popularity(shop.log.before(begin), begin, settings)
        knowledge = learn(shop.log, text, popularity, active, begin, settings)
        targets = next_basket.next_baskets(shop.log, begin, end).some(args.users)
        return Pools.of(Blend(knowledge, settings), shop.log, targets)

    month_before = day_number(cut - timedelta(days=30))
    return Data(
        args.data.name,
        pools(month_before, day_number(cut)),
        pools(day_number(cut), day_number(until)),
        vectors,
        without_attributes(len(titles)),
    )


def lists_of(data: Data, pools: Pools, settings: RerankSettings) -> np.ndarray:
    """Re-rank pools: users x 20 items."""
    n_users, n_items = len(pools.items), len(data.vectors)
    users = np.arange(n_users)
    reranker = Reranker(
        data.attributes,
        data.vectors,
        Rules.of([], "home", data.attributes),
        sparse.csr_matrix((n_users, n_items), dtype=np.int64),
        is_tail(pools.bought),
        users.astype(str).astype(object),
        np.zeros(n_users, dtype=np.int64),
        "home",
        settings,
    )
    return reranker.rerank(users, pools.items, pools.scores).items


def measure(data: Data, pools: Pools, settings: RerankSettings) -> tuple[dict[str, float], np.ndarray]:
    """Return the figures of lists, and each user's NDCG."""
    lists = lists_of(data, pools, settings)
    hits = hits_at(lists, pools.targets.row, pools.targets.item, len(data.vectors))
    values = ndcg(hits, pools.targets.per_user, K)
    figures = {
        f"ndcg@{K}": float(values.mean()),
        "ndcg@20": float(ndcg(hits, pools.targets.per_user, 20).mean()),
        f"diversity@{K}": intra_list_diversity(lists, K, data.vectors),
        "diversity@20": intra_list_diversity(lists, 20, data.vectors),
        f"tail_share@{K}": tail_share(lists, K, pools.bought),
    }
    category = data.attributes.codes["category"]
    if (category >= 0).any():
        top = np.where(lists[:, :K] >= 0, category[lists[:, :K]], -1)
        top = np.sort(top, axis=1)
        figures[f"categories@{K}"] = float(((top[:, 1:] != top[:, :-1]) & (top[:, 1:] >= 0)).sum(axis=1).mean()
                                           + (top[:, 0] >= 0).mean())  # fmt: skip
    return {name: round(value, 4) for name, value in figures.items()}, values


def curve(data: Data, pools: Pools) -> list[dict[str, Any]]:
    """Return the figures of all ways over the dial, without caps: variety alone."""
    plain = RerankSettings(exploration_slots=0, brand_cap=1.0, category_cap=1.0)
    rows = []
    for way, settings in WAYS.items():
        for variety in DIAL:
            figures, _ = measure(data, pools, replace(plain, **settings, variety=variety))
            rows.append({"way": way, "variety": variety, **figures})
            logging.info("%s", rows[-1])
    return rows


def changes(row: dict[str, Any], base: dict[str, Any]) -> dict[str, float]:
    """Return what share of each figure was won or lost."""
    return {name: round(row[name] / base[name] - 1.0, 4) for name in base if "@" in name and base[name]}


def is_within(row: dict[str, Any], base: dict[str, Any]) -> bool:
    """Return whether no more accuracy is lost than may be."""
    return all(row[name] >= (1 - MAX_LOSS) * base[name] for name in (f"ndcg@{K}", "ndcg@20"))


def plot(file: Path, data: Data, rows: list[dict[str, Any]], chosen: dict[str, float]) -> None:
    """Draw NDCG against diversity, and against categories where there are any; the default as a star."""
    axes_names = [name for name in (f"diversity@{K}", f"categories@{K}") if name in rows[0]]
    matplotlib.rcParams["svg.hashsalt"] = "variety"
    figure, axes = pyplot.subplots(1, len(axes_names), figsize=(5.2 * len(axes_names), 4), squeeze=False)
    labels = {f"diversity@{K}": f"intra-list diversity@{K}", f"categories@{K}": f"categories in the first {K}"}
    for axis, name in zip(axes[0], axes_names, strict=True):
        for way, marker in zip(WAYS, "o^s", strict=True):
            mine = [row for row in rows if row["way"] == way]
            axis.plot([r[name] for r in mine], [r[f"ndcg@{K}"] for r in mine], f"{marker}-", label=way, ms=4)
        axis.plot(chosen[name], chosen[f"ndcg@{K}"], "k*", ms=12, label="default")
        axis.axhline((1 - MAX_LOSS) * rows[0][f"ndcg@{K}"], color="grey", lw=0.8, ls="--", label="2% less")
        axis.set_xlabel(labels[name])
        axis.set_ylabel(f"NDCG@{K}")
        axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.suptitle(f"{data.name}, validation: the price of variety")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Draw the curve, print a table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of bench.next_item's or bench.next_basket's shape")
    parser.add_argument("--users", type=int, default=8000, help="at most, of each part (default: %(default)s)")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="text encoder (default: %(default)s)")
    parser.add_argument("--vectors", type=Path, help="file in which the texts' vectors are kept between runs")
    parser.add_argument("--plot", type=Path, help="where the curve is drawn, e.g. docs/variety_beauty.svg")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    data = baskets(args) if (args.data / "online_retail.parquet").is_file() else items_in_order(args)
    has_categories = bool((data.attributes.codes["category"] >= 0).any())
    rows = curve(data, data.valid)
    base = rows[0]
    print(
        f"\n{data.name}, validation, {len(data.valid.items)} users" + ("" if has_categories else "; no categories")
    )
    names = [name for name in base if "@" in name]
    print(f"{'':32s}" + "".join(f"{name:>24s}" for name in names))
    for row in rows:
        change = changes(row, base)
        told = "".join(f"{row[name]:14.4f} ({100 * change.get(name, 0):+6.1f}%)" for name in names)
        print(f"{row['way']:25s}{row['variety']:<7.2f}{told}")
    found: dict[str, Any] = {}
    for part, pools in (("valid", data.valid), ("test", data.test)):
        before, old = measure(
            data, pools, RerankSettings(variety=0.0, exploration_slots=0, brand_cap=1, category_cap=1)
        )
        after, new = measure(data, pools, RerankSettings())
        found[part] = {
            "users": len(pools.items),
            "by_score": before,
            "default": after,
            "change": changes(after, before),
            "ndcg_difference_95": [round(value, 5) for value in bootstrap_mean(new - old)],
        }
        print(f"default, {part}: {found[part]['change']}")
    within = {way: max(r["variety"] for r in rows if r["way"] == way and is_within(r, base)) for way in WAYS}
    if args.plot is not None:
        plot(args.plot, data, rows, found["valid"]["default"])
    print(
        json.dumps(
            {
                "bench": "variety",
                "data": data.name,
                "has_categories": has_categories,
                "largest_dial_within_2_percent": within,
                "most_diverse_of_the_pool": max(row[f"diversity@{K}"] for row in rows),
                **found,
                "curve_valid": rows,
            }
        )
    )


if __name__ == "__main__":
    main()

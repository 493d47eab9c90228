"""Measure how good the home page's lists are, on purchases that the model did not see.

Where the 7 days after the as-of date are known, the lists just made are held against them (protocol
days_after). Otherwise the model is made again as of 7 days earlier, settings and all, and held against the
last 7 days (protocol held_out). Popularity, under the same rules on what may be shown, is the baseline.

Beside them: by how much the weekly training last decided (protocol promotion), and what the search for items of
like text finds of what an exact one does (protocol neighbours).
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from expectations.tables import EVALUATION_DAYS, OUTPUTS, outputs_dir
from ml.metrics import ranking
from ml.recommender.backtest import run_backtest
from ml.recommender.blend import Blend, learn, top_items
from ml.recommender.buy_again import repeat_share
from ml.recommender.champion import last_decision, load_model
from ml.recommender.dataset import Shop, connect, load_shop
from ml.recommender.history import build_history
from ml.recommender.outputs import write_output
from ml.recommender.popular import measured_popularity, published_popularity
from ml.recommender.promotion import metric_rows
from ml.recommender.recommend import all_lists, shards_of
from ml.recommender.serving import BLEND, LEARNED, Chosen, Serving, choose, items_of, learned_before
from ml.recommender.settings import LIST_LENGTH, BlendSettings
from ml.recommender.tune import Targets, purchases_between, targets_of
from ml.text_encoder import neighbours, store
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger(__name__)

BASELINE = "popularity"
EXACT_SEARCH = "exact_search"
KEY = OUTPUTS["model_metrics"].key
CUTOFFS = (10, 20)
NEW_BELOW_ACTIONS = 3
HEAVY_FROM_ACTIONS = 20


@dataclass(frozen=True)
class Comparison:
    """The model's and the baseline's lists (users x length) for the users of `targets`."""

    model: str
    protocol: str
    first_day: Any
    last_day: Any
    targets: Targets
    lists: np.ndarray
    baseline: np.ndarray
    actions_before: np.ndarray
    n_items: int
    n_candidates: int


def popularity_lists(
    shop: Shop, popularity: np.ndarray, as_of: float, allows_repeats: bool, users: np.ndarray
) -> np.ndarray:
    """Return the most popular items that the model's own rules would let each of `users` see."""
    actions = shop.log.before(as_of)
    open_to_all = np.where(shop.catalogue.is_active, popularity, -np.inf)
    found = []
    for shard in shards_of(users, np.bincount(actions.user, minlength=actions.n_users), actions.n_items):
        history = build_history(actions.of_users(shard), as_of, BlendSettings())
        scores = np.tile(open_to_all, (len(shard), 1))
        barred = history.barred(allows_repeats)
        scores[history.user[barred], history.item[barred]] = -np.inf
        found.append(top_items(scores, LIST_LENGTH)[0])
    return np.concatenate(found) if found else np.zeros((0, LIST_LENGTH), dtype=np.int64)


def served_lists(serving: Serving, users: np.ndarray) -> np.ndarray:
    """Return what a recommender at work shows `users`, users x LIST_LENGTH."""
    found = [shard.items for shard in serving.shards(users)]
    return np.concatenate(found) if found else np.zeros((0, LIST_LENGTH), dtype=np.int64)


def later_purchases(connection: duckdb.DuckDBPyConnection, shop: Shop) -> Targets:
    """Return what the users bought in the 7 days after the as-of date."""
    rows = connection.execute("select distinct user_id, item_id from features.features.later_purchases").fetchall()
    user_place = {name: place for place, name in enumerate(shop.users.user_ids)}
    item_place = {name: place for place, name in enumerate(shop.catalogue.item_ids)}
    known = [(user_place[u], item_place[i]) for u, i in rows if u in user_place and i in item_place]
    pairs = np.array(known, dtype=np.int64).reshape(-1, 2)
    return targets_of(pairs[:, 0], pairs[:, 1], len(shop.catalogue.item_ids))


def published_lists(args: argparse.Namespace, shop: Shop, users: np.ndarray) -> np.ndarray:
    """Read the lists just made back for `users`.

    Raises:
        StepError: they were not made.

    """
    path = outputs_dir(args.lake, args.as_of) / "home_recommendations.parquet"
    if not path.is_file():
        raise StepError(f"{path} is not there.", "Make the lists first: python -m ml.recommender.recommend_home")
    table = pq.read_table(path, columns=["user_id", "rank", "item_id"])
    row_of = {shop.users.user_ids[user]: row for row, user in enumerate(users)}
    item_place = {name: place for place, name in enumerate(shop.catalogue.item_ids)}
    lists = np.full((len(users), LIST_LENGTH), -1, dtype=np.int64)
    for user, rank, item in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
        row = row_of.get(user)
        if row is not None:
            lists[row, rank - 1] = item_place[item]
    return lists


def compare(args: argparse.Namespace, shop: Shop, later: Targets, chosen: Chosen) -> Comparison:
    """Gather the lists to measure, by the protocol that the data allow."""
    active = shop.catalogue.is_active
    defaults = BlendSettings()
    day = timedelta(days=1)
    if len(later.users):
        protocol, end, first_day = "days_after", shop.end_of_day, shop.as_of + day
        model = chosen.name
        targets = later
        popularity = published_popularity(shop)
        share = repeat_share(shop.log, end, defaults.repeat_window)
        lists = published_lists(args, shop, targets.users)
    else:
        protocol, end = "held_out", shop.end_of_day - EVALUATION_DAYS
        first_day = shop.last_day - (EVALUATION_DAYS - 1) * day
        targets = purchases_between(shop.log, end, shop.end_of_day)
        version = store.chosen_version(args.lake, args.as_of)
        items = items_of(shop, store.read(args.lake, version, shop.catalogue.text_hashes))
        champion = chosen.champion
        # A champion that had seen the week would be measured on what it knows by heart.
        model = LEARNED if champion is not None and champion.trained_before <= end else BLEND
        if champion is not None and model == LEARNED:
            serving = learned_before(load_model(champion), shop, items, end)
            lists = served_lists(serving, targets.users)
            share, settings = serving.blend.items.repeat_share, serving.blend.settings
            popularity = measured_popularity(shop.log.before(end), end, settings)
        else:
            # Settings as they would have been chosen then: on the week before the one that is measured.
            settings = run_backtest(shop, items.text_similar, end, defaults).settings
            popularity = measured_popularity(shop.log.before(end), end, settings)
            knowledge = learn(shop.log, items.text_similar, popularity, active, end, settings)
            share = knowledge.repeat_share
            everyone = np.zeros(shop.log.n_users, dtype=np.int64)
            lists = all_lists(Blend(knowledge, settings), shop.log, everyone, targets.users)
    allows_repeats = share >= defaults.repeat_threshold
    return Comparison(
        model,
        protocol,
        first_day,
        first_day + (EVALUATION_DAYS - 1) * day,
        targets,
        lists,
        popularity_lists(shop, popularity.everyone, end, allows_repeats, targets.users),
        np.bincount(shop.log.before(end).user, minlength=shop.log.n_users)[targets.users],
        shop.log.n_items,
        int(active.sum()),
    )


def slices(actions_before: np.ndarray) -> dict[str, np.ndarray]:
    """Return the users of each segment: new have fewer than 3 actions before, heavy 20 or more, light the rest."""
    new = actions_before < NEW_BELOW_ACTIONS
    heavy = actions_before >= HEAVY_FROM_ACTIONS
    return {"all": np.ones(len(new), dtype=bool), "heavy": heavy, "light": ~new & ~heavy, "new": new}


def measure(compared: Comparison) -> list[dict[str, Any]]:
    """Return the rows of model_metrics, sorted by their key."""
    targets = compared.targets
    hits = ranking.hits_at(compared.lists, targets.row, targets.item, compared.n_items)
    baseline_hits = ranking.hits_at(compared.baseline, targets.row, targets.item, compared.n_items)
    rows = []
    for segment, chosen in slices(compared.actions_before).items():
        if not chosen.any():
            continue
        for k in CUTOFFS:
            for metric, of in (("recall", ranking.recall), ("ndcg", ranking.ndcg)):
                values = of(hits[chosen], targets.per_user[chosen], k)
                baseline = of(baseline_hits[chosen], targets.per_user[chosen], k).mean()
                rows.append((segment, metric, k, values.mean(), ranking.bootstrap_mean(values), baseline, chosen))
            shown = compared.lists[chosen]
            value = ranking.coverage(shown, k, compared.n_candidates)
            interval = ranking.bootstrap_coverage(shown, k, compared.n_candidates)
            baseline = ranking.coverage(compared.baseline[chosen], k, compared.n_candidates)
            rows.append((segment, "coverage", k, value, interval, baseline, chosen))
    rows.sort(key=lambda row: row[:3])
    return [
        {
            "model": compared.model,
            "segment": segment,
            "metric": metric,
            "k": k,
            "value": round(float(value), 6),
            "value_low": round(interval[0], 6),
            "value_high": round(interval[1], 6),
            "baseline_model": BASELINE,
            "baseline_value": round(float(baseline), 6),
            "champion_value": None,
            "users": int(chosen.sum()),
            "protocol": compared.protocol,
            "measured_from": compared.first_day,
            "measured_to": compared.last_day,
        }
        for segment, metric, k, value, interval, baseline, chosen in rows
    ]


def promotion_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the figures by which the weekly training last decided, as rows of model_metrics."""
    decision = last_decision(args.lake, args.as_of)
    if decision is None:
        return []
    days = {name: date.fromisoformat(decision[name]) for name in ("measured_from", "measured_to")}
    return [{**row, "protocol": "promotion", **days} for row in metric_rows(decision, BASELINE)]


def neighbour_row(args: argparse.Namespace, shop: Shop, version: str) -> dict[str, Any]:
    """Return the recall of the search for items of like text, as a row of model_metrics.

    Where texts and candidates are few enough to be compared one by one it is 1, and no vector is read; else the
    index is made again and asked for a sample of the texts.
    """
    active, k = shop.catalogue.is_active, BlendSettings().text_neighbours
    value, interval, texts = 1.0, (1.0, 1.0), len(active)
    if not neighbours.is_exact(len(active), int(active.sum())):
        vectors = store.read(args.lake, version, shop.catalogue.text_hashes)
        shares = neighbours.index_recall(vectors, active, k)
        value, interval, texts = float(shares.mean()), ranking.bootstrap_mean(shares), len(shares)
    return {
        "model": version,
        "segment": "all",
        "metric": "neighbour_recall",
        "k": k,
        "value": round(value, 6),
        "value_low": round(interval[0], 6),
        "value_high": round(interval[1], 6),
        "baseline_model": EXACT_SEARCH,
        "baseline_value": 1.0,
        "champion_value": None,
        "users": texts,
        "protocol": "neighbours",
        "measured_from": shop.as_of,
        "measured_to": shop.as_of,
    }


def evaluate_home(args: argparse.Namespace) -> dict[str, Any]:
    """Write model_metrics and report the figures for all users."""
    text_version = store.chosen_version(args.lake, args.as_of)
    chosen = choose(args.lake, args.as_of, text_version)
    with connect(args.lake) as connection:
        shop = load_shop(connection, args.as_of)
        later = later_purchases(connection, shop)
    compared = compare(args, shop, later, chosen)
    rows = measure(compared) if len(compared.targets.users) else []
    if not rows:
        log.warning("nothing to measure: nobody bought anything in the days that %s looks at", compared.protocol)
    searched = neighbour_row(args, shop, text_version)
    everything = sorted([*rows, *promotion_rows(args), searched], key=lambda row: tuple(row[name] for name in KEY))
    columns = {name: [row[name] for row in everything] for name in searched}
    write_output(args.lake, args.as_of, "model_metrics", [{**columns, "model_version": chosen.version}])
    for row in rows:
        if row["segment"] == "all":
            log.info("%s@%d %.4f (%.4f to %.4f), popularity %.4f", row["metric"], row["k"], row["value"],
                     row["value_low"], row["value_high"], row["baseline_value"])  # fmt: skip
    return {
        "model_version": chosen.version,
        "protocol": compared.protocol,
        "users": len(compared.targets.users),
        "all": {
            f"{r['metric']}@{r['k']}": [r["value"], r["baseline_value"]] for r in rows if r["segment"] == "all"
        },
        "neighbour_recall": searched["value"],
        "note": "" if rows else "nothing to measure: no purchases in the days looked at",
    }


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    run_step("evaluate_home", evaluate_home, step_parser(__doc__), argv)


if __name__ == "__main__":
    main()

"""Next basket on UCI Online Retail, split by time: the learned recommender and the blend, as the DAGs make them.

Trains on what was bought before --cut and predicts each returning customer's next basket: what they buy on the
first day they come back. Everything is chosen on the weeks before the cut. Baselines: popularity (halved every 14
days), the customer's own most frequent purchases, filled up with popularity, and, with --peers, implicit's
recommenders, tuned on the baskets of the month before the cut. Intervals are 95% over customers; those of gains
are of the paired ratio of means. Ends with one line of JSON.

    python -m bench.next_basket DATA_DIR [--cut 2011-11-01] [--until 2011-12-10] [--seed N] [--peers]
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench.next_item import encode, item_users
from bench.peers import peer_lists
from ml.metrics.beyond_accuracy import beyond_accuracy
from ml.metrics.ranking import bootstrap_mean, hits_at, ndcg, recall
from ml.recommender.backtest import run_backtest
from ml.recommender.blend import Blend, learn, top_items
from ml.recommender.dataset import PURCHASE, ActionLog, Catalogue, Shop, Users, day_number
from ml.recommender.history import build_history
from ml.recommender.popular import measured_popularity
from ml.recommender.recommend import all_lists
from ml.recommender.settings import LIST_LENGTH, BlendSettings
from ml.recommender.snapshots import weekly_snapshots
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import Items, Training, sources_at, train_model
from ml.recommender.tune import Targets, targets_of

#: Stock codes that are no products: postage, discounts, fees, manual corrections.
SERVICES = ("POST", "DOT", "M", "m", "D", "S", "B", "C2", "CRUK", "PADS", "BANK CHARGES", "AMAZONFEE")


def load(folder: Path, cut: date) -> tuple[Shop, list[str]]:
    """Return the shop's purchases (all of them; the catalogue is what was sold before `cut`) and item texts."""
    lines = f"""
        select cast(CustomerID as bigint) as customer, StockCode as item_id, InvoiceNo as invoice,
               InvoiceDate as bought_at, Description as title
        from '{folder}/online_retail.parquet'
        where CustomerID is not null and Quantity > 0 and UnitPrice > 0 and StockCode not in {SERVICES}
    """
    items = duckdb.execute(
        f"""
        select item_id, mode(title) as title from ({lines}) where bought_at < ?
        group by item_id
        order by item_id
        """,
        [cut],
    ).fetchall()
    rows = duckdb.execute(
        f"""
        with lines as ({lines}),
        items as (
            select item_id, row_number() over (order by item_id) - 1 as place
            from (select distinct item_id from lines where bought_at < $cut)
        )
        select dense_rank() over (order by customer) - 1 as user_place, items.place,
               epoch_us(bought_at) / 86400e6 as days,
               dense_rank() over (order by customer, ordered_at, invoice) as step
        from (select *, min(bought_at) over (partition by invoice) as ordered_at from lines) as lines
        inner join items using (item_id)
        order by customer, ordered_at, invoice, items.place
        """,
        {"cut": cut},
    ).fetchnumpy()
    user, item, step = (np.asarray(rows[name], dtype=np.int64) for name in ("user_place", "place", "step"))
    n_users, n_items = int(user.max()) + 1, len(items)
    log = ActionLog(
        user,
        item,
        np.full(len(user), PURCHASE, dtype=np.int8),
        np.asarray(rows["days"], dtype=np.float64),
        step,
        np.ones(len(user)),
        n_users,
        n_items,
    )
    titles = [str(title) for _, title in items]
    ids = np.array([item_id for item_id, _ in items], dtype=object)
    catalogue = Catalogue(
        ids,
        np.array(titles, dtype=object),
        ids,
        np.ones(n_items, dtype=bool),
        np.zeros(n_items),
        np.full(n_items, -np.inf),
    )
    users = Users(np.arange(n_users).astype(str).astype(object), np.zeros(n_users, dtype=np.int64), ("all",))
    return Shop(cut - timedelta(days=1), users, catalogue, log, np.zeros((1, n_items))), titles


def next_baskets(log: ActionLog, begin: float, end: float) -> Targets:
    """Return what each customer with a past buys on the first day back, in [begin, end) (times in days)."""
    has_past = np.bincount(log.user[log.time < begin], minlength=log.n_users) > 0
    later = (log.time >= begin) & (log.time < end) & has_past[log.user]
    user, item, day = log.user[later], log.item[later], np.floor(log.time[later])
    first = np.full(log.n_users, np.inf)
    np.minimum.at(first, user, day)
    here = day == first[user]
    return targets_of(user[here], item[here], log.n_items)


def buy_again_lists(log: ActionLog, begin: float, users: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Return each customer's most frequent purchases, ties and gaps filled by popularity."""
    settings = BlendSettings(repeat_half_life=1e9)
    history = build_history(log.before(begin).of_users(users), begin, settings)
    return top_items(history.matrix(history.orders_faded).toarray() + 0.5 * popularity, LIST_LENGTH)[0]


def ratio_interval(ours: np.ndarray, theirs: np.ndarray, resamples: int = 1000) -> tuple[float, float, float]:
    """Return the gain of the mean of `ours` over that of `theirs` as a share, and its 95% paired interval."""
    rng = np.random.default_rng(0)
    n = len(ours)
    drawn = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples)
    low, high = np.quantile((drawn @ ours) / (drawn @ theirs) - 1.0, [0.025, 0.975])
    return float(ours.mean() / theirs.mean() - 1.0), float(low), float(high)


def main() -> None:
    """Run the protocol and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with online_retail.parquet")
    parser.add_argument("--cut", type=date.fromisoformat, default=date(2011, 11, 1), help="default: %(default)s")
    parser.add_argument(
        "--until", type=date.fromisoformat, default=date(2011, 12, 10), help="default: %(default)s"
    )
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="text encoder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches, trees (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the sequence model trains")
    parser.add_argument("--peers", action="store_true", help="implicit's recommenders too")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    shop, titles = load(args.data, args.cut)
    vectors = encode(titles, args.model)
    started = time.perf_counter()
    begin, active = day_number(args.cut), shop.catalogue.is_active
    text = text_similarities(vectors, active, BlendSettings())
    settings = run_backtest(shop, text, begin, BlendSettings()).settings
    popularity = measured_popularity(shop.log.before(begin), begin, settings)
    blend = Blend(learn(shop.log, text, popularity, active, begin, settings), settings)
    targets = next_baskets(shop.log, begin, day_number(args.until))
    n_users = len(targets.users)
    items = Items(shop.catalogue.item_ids, vectors, text, active)
    known = shop.log.before(begin)
    training = Training(BlendSettings(), seed=args.seed, device=args.device)
    trained = train_model(weekly_snapshots(known, begin), known, items, training)
    model = trained.model
    sources = sources_at(known, begin, items, model.settings, model.sequence_on(items.ids, items.text))
    lists = {
        "learned": model.lists(sources, targets.users),
        "blend": all_lists(blend, shop.log, shop.users.segment, targets.users),
        "buy_again": buy_again_lists(shop.log, begin, targets.users, popularity.everyone),
        "popularity": np.tile(top_items(popularity.everyone[None, :], LIST_LENGTH)[0], (n_users, 1)),
    }
    if args.peers:
        month_before = day_number(args.cut - timedelta(days=30))
        found = peer_lists(
            known.before(month_before), next_baskets(known, month_before, begin), known, targets.users,
            LIST_LENGTH, allows_repeats=True, seed=args.seed,
        )  # fmt: skip
        lists |= {f"peer_{name}": peer.lists for name, peer in found.items()}
    values = {}
    for name, listed in lists.items():
        hits = hits_at(listed, targets.row, targets.item, shop.log.n_items)
        for metric, of in (("recall", recall), ("ndcg", ndcg)):
            values[name, metric] = of(hits, targets.per_user, LIST_LENGTH)
    figures: dict[str, Any] = {}
    for (name, metric), of_users in values.items():
        low, high = bootstrap_mean(of_users)
        figures[f"{name}_{metric}@{LIST_LENGTH}"] = [round(float(x), 4) for x in (of_users.mean(), low, high)]
    for metric in ("recall", "ndcg"):
        best = max((n for n in lists if n not in ("learned", "blend")), key=lambda n: values[n, metric].mean())
        gain = ratio_interval(values["learned", metric], values[best, metric])
        figures[f"gain_{metric}@{LIST_LENGTH}"] = {"over": best, "share": [round(x, 4) for x in gain]}
    beyond = {
        name: {
            metric: round(value, 4)
            for metric, value in beyond_accuracy(
                listed, LIST_LENGTH, known.n_items, item_users(known), known.n_users, vectors
            ).items()
        }
        for name, listed in lists.items()
    }
    print(
        json.dumps(
            {
                "bench": "next_basket",
                "cut": args.cut.isoformat(),
                "until": args.until.isoformat(),
                "customers": n_users,
                "items": shop.log.n_items,
                "seed": args.seed,
                **figures,
                "beyond_accuracy": beyond,
                "sequence_weight": model.weight,
                "has_ranker": model.ranker is not None,
                "ndcg_last_snapshot": {name: round(value, 4) for name, value in trained.ndcg.items()},
                "repeat_share": round(blend.items.repeat_share, 4),
                "seconds_without_encoding": round(time.perf_counter() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

"""What a run of the simulated shop found, against what was planted there and what its users truly want.

    python -m bench.simulated_truth var/simulated --as-of 2026-10-31

Prints precision and recall of cleaning by kind of dirt, of the bots found, and NDCG@10 of the published lists
beside random lists, popularity and the best possible, on what was bought in the 7 days after, for heavy, light and
new users too (as model_metrics divides them). Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np

from expectations.tables import EVALUATION_DAYS, clean_dir, history_dir
from feeds.simulated.truth import Truth
from ml.metrics.ranking import bootstrap_mean, hits_at, ndcg
from ml.recommender.evaluate_home import slices
from spark_jobs.pseudonyms import Pseudonyms, read_key

#: Kinds of planted dirt that cleaning has to turn away, with the beginning of quarantine's reason.
REASONS = {
    "broken_json": "malformed",
    "duplicate": "duplicate",
    "future_time": "future_time",
    "unknown_item": "unknown_item",
    "unknown_user": "unknown_user",
    "wrong_type": "wrong_type",
}
K = 10


@dataclass(frozen=True)
class Found:
    """How well one kind was found: counts of rows (of users, for bots)."""

    kind: str
    planted: int
    found: int
    both: int

    @property
    def precision(self) -> float:
        """Share of what was found that had been planted."""
        return self.both / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """Share of what had been planted that was found."""
        return self.both / self.planted if self.planted else float("nan")


def clean_files(lake: Path, table: str) -> list[str]:
    """Return the Parquet files that stand for a clean table."""
    folder = clean_dir(lake, table)
    manifest = json.loads((folder / "_manifest.json").read_text())
    return [str(folder / file) for part in manifest["partitions"].values() for file in part["files"]]


def dirt_found(lake: Path, truth: Path) -> list[Found]:
    """Compare quarantine with the planted rows, row by row: by file and row number."""
    connection = duckdb.connect()
    planted = connection.read_parquet(f"{truth}/planted_dirt/*.parquet")
    quarantine = connection.read_parquet(clean_files(lake, "quarantine"))
    landed = json.dumps([f"{p.parent.name}/{p.name}" for p in (lake / "landing").glob("*/*") if p.is_file()])
    result = []
    for kind, reason in REASONS.items():
        counts = connection.execute(
            """
            with planted_rows as (
                select distinct file, row_number
                from planted
                where kind = $kind and list_contains(from_json($landed, '["VARCHAR"]'), file)
            ),
            found_rows as (
                select distinct source_file as file, row_number from quarantine where starts_with(reason, $reason)
            )
            select
                (select count(*) from planted_rows),
                (select count(*) from found_rows),
                (select count(*) from planted_rows semi join found_rows using (file, row_number))
            """,
            {"kind": kind, "reason": reason, "landed": landed},
        ).fetchone()
        assert counts is not None
        result.append(Found(kind, *counts))
    del planted, quarantine
    return result


def late_kept(lake: Path, truth: Path) -> Found:
    """Late events are no dirt: they have to stand in clean, in the partition of their own day."""
    connection = duckdb.connect()
    planted = connection.read_parquet(f"{truth}/planted_dirt/*.parquet")
    events = connection.read_parquet(clean_files(lake, "events"))
    counts = connection.execute(
        """
        with planted_rows as (
            select distinct file, row_number from planted where kind = 'late' and feed = 'events'
        ),
        kept as (select source_file as file, row_number from events where event_date < arrived_on)
        select
            (select count(*) from planted_rows), (select count(*) from kept),
            (select count(*) from planted_rows semi join kept using (file, row_number))
        """
    ).fetchone()
    del planted, events
    assert counts is not None
    return Found("late", *counts)


def bots_found(lake: Path, truth: Path, pseudonyms: Pseudonyms) -> Found:
    """Compare the bots found with the bots there are, of those who gave consent and did anything at all."""
    connection = duckdb.connect()
    bots = connection.execute(
        f"select user_id from read_parquet('{truth}/users/*.parquet') where is_bot"
    ).fetchall()
    events = connection.read_parquet(clean_files(lake, "events"))
    seen = {user for (user,) in connection.execute("select distinct user_id from events").fetchall()}
    found = {user for (user,) in connection.read_parquet(clean_files(lake, "bots")).project("user_id").fetchall()}
    del events
    planted = {pseudonyms.of(user) for (user,) in bots} & seen
    return Found("bots", len(planted), len(found), len(planted & found))


def ndcg_of_users(lists: dict[str, list[str]], bought: dict[str, set[str]]) -> np.ndarray:
    """Return NDCG@10 of each user who bought anything, in the order of `bought`."""
    users = list(bought)
    number = {
        item: i for i, item in enumerate(sorted({i for u in users for i in (*lists.get(u, []), *bought[u])}))
    }
    ranked = np.full((len(users), K), -1)
    for row, user in enumerate(users):
        top = [number[item] for item in lists.get(user, [])[:K]]
        ranked[row, : len(top)] = top
    target_user = np.repeat(np.arange(len(users)), [len(bought[user]) for user in users])
    target_item = np.array([number[item] for user in users for item in sorted(bought[user])])
    hits = hits_at(ranked, target_user, target_item, len(number))
    return ndcg(hits, np.bincount(target_user, minlength=len(users)), K)


def actions_before(events: duckdb.DuckDBPyRelation, as_of: str, users: list[str]) -> np.ndarray:
    """Return how many actions on items each user had up to a day, by what had arrived by then."""
    acted = events.filter(
        "item_id is not null and event_type not in ('impression', 'search')"
        f" and event_date <= '{as_of}' and event_date > date '{as_of}' - 365 and arrived_on <= '{as_of}'"
    )
    rows = acted.aggregate("user_id, count(*)", "user_id").fetchall()
    counts = dict(rows)
    return np.array([counts.get(user, 0) for user in users])


def recommendation_quality(
    lake: Path, truth: Path, as_of: str, pseudonyms: Pseudonyms
) -> dict[str, dict[str, float]]:
    """Return NDCG@10 on the next days' purchases by kind of user.

    For each kind: how many users, and the mean of random lists, popularity, the published lists with its 95%
    interval, and the best possible lists.
    """
    connection = duckdb.connect()
    until = (date.fromisoformat(as_of) + timedelta(days=EVALUATION_DAYS)).isoformat()
    published = sorted(history_dir(lake, "home_recommendations", as_of).glob("*.parquet"))[-1]
    hot = sorted(history_dir(lake, "hot_items", as_of).glob("*.parquet"))[-1]
    rows = connection.execute(
        f"select user_id, list(item_id order by rank) from read_parquet('{published}') group by user_id"
    ).fetchall()
    ours = dict(rows)
    raw_ids = [
        u for (u,) in connection.execute(f"select user_id from read_parquet('{truth}/users/*.parquet')").fetchall()
    ]
    raw_of = {pseudonyms.of(user): user for user in raw_ids}
    events = connection.read_parquet(clean_files(lake, "events"))
    bought = {
        user: set(items)
        for user, items in connection.execute(
            "select user_id, list(distinct item_id) from events where event_type = 'purchase' "
            "and event_date > ? and event_date <= ? and arrived_on <= ? group by user_id order by user_id",
            [as_of, until, until],
        ).fetchall()
        if user in ours and user in raw_of
    }
    actions = actions_before(events, as_of, list(bought))
    del events
    popular = [
        i
        for (i,) in connection.execute(
            f"select item_id from read_parquet('{hot}') where segment = 'all' order by rank limit {K}"
        ).fetchall()
    ]
    users = list(bought)
    weights, items = Truth(truth).expected_purchases([raw_of[user] for user in users], as_of)
    random = np.random.default_rng(0)
    best = {u: [items[j] for j in np.argsort(-weights[i], kind="stable")[:K]] for i, u in enumerate(users)}
    values = {
        name: ndcg_of_users(lists, bought)
        for name, lists in {
            "random": {u: list(random.choice(items, K, replace=False)) for u in users},
            "popularity": dict.fromkeys(users, popular),
            "published": ours,
            "best_possible": best,
        }.items()
    }
    found = {}
    for kind, chosen in slices(actions).items():
        if chosen.any():
            low, high = bootstrap_mean(values["published"][chosen])
            found[kind] = {
                "users": int(chosen.sum()),
                **{name: float(of_users[chosen].mean()) for name, of_users in values.items()},
                "published_low": low,
                "published_high": high,
            }
    return found


def main() -> None:
    """Print the comparison for one shop and day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop_dir", type=Path, help="folder of the simulated shop, e.g. var/simulated")
    parser.add_argument("--as-of", required=True, help="a day that was run")
    args = parser.parse_args()
    lake, truth = args.shop_dir / "lake", args.shop_dir / "truth"
    pseudonyms = Pseudonyms(read_key(args.shop_dir.parent / "secrets" / "pseudonym.key"))
    found = [*dirt_found(lake, truth), late_kept(lake, truth), bots_found(lake, truth, pseudonyms)]
    print(f"{'kind':<14}{'planted':>9}{'found':>9}{'precision':>11}{'recall':>9}")
    for one in found:
        print(f"{one.kind:<14}{one.planted:>9}{one.found:>9}{one.precision:>11.4f}{one.recall:>9.4f}")
    quality = recommendation_quality(lake, truth, args.as_of, pseudonyms)
    print(f"\nNDCG@{K} on the purchases of the {EVALUATION_DAYS} days after {args.as_of}:")
    print("users    count   random  popular  published     95% interval    best  share")
    for kind, of in quality.items():
        interval = f"{of['published_low']:.4f}-{of['published_high']:.4f}"
        print(
            f"{kind:<8}{of['users']:>6}{of['random']:>9.4f}{of['popularity']:>9.4f}{of['published']:>11.4f}"
            f"{interval:>17}{of['best_possible']:>8.4f}{of['published'] / of['best_possible']:>7.1%}"
        )
    print(json.dumps({"found": [asdict(one) for one in found], "ndcg": quality}))


if __name__ == "__main__":
    main()

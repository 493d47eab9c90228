"""Are portraits true? The traits of a run of the simulated shop, against what its users truly are.

    python -m bench.portrait_truth var/simulated --as-of 2026-10-31

By trait and by how many actions a user has: the share of beliefs that are right, beside the share that would be
right if each user had another's (chance); for numbers the rank correlation with the truth too. Then whether
confidence means what it says: of what is believed with a confidence of 0.6 to 0.7, are two thirds right, beyond
what chance gives (Cohen's kappa)? n0 and ceiling (ml/portraits/belief.py) are chosen on half of the users. Last
line: JSON.

What counts as right:
    category_affinity   the category is one of the three of eight that the user prefers most
    brand_affinity      the user's true share of the brand is above everyone's
    price_level         on the same side of the middle user as the price level of the user's true choices
    purchase_rhythm     within a factor of 2 of the true days between orders: 1 / (visits x chance to buy),
                        shortened for everyone alike by what repeats, companions and campaigns add
    next_purchase       ordered within half a gap of its day; only where that ends within the 7 days after
    lifecycle_stage     at_risk, dormant: has left, or leaves within 20 days; the others: has not left
    active_hour         within 2 hours of the user's true one, around the clock
    platform            the user's own
    taste_segment       its leading category is one of the user's true two
Bargains, novelty and weekday are not in it: nobody in this shop truly differs in them. Nor is sentiment: see the
report of the portray step.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from scipy.stats import spearmanr

from expectations.tables import EVALUATION_DAYS, PLATFORMS, features_db, outputs_dir
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.choice import item_utility, leaf_utility, probabilities
from feeds.simulated.days import number_of
from feeds.simulated.people import FADING_DAYS, HUMAN, Shard, shard_count
from feeds.simulated.truth import Truth
from feeds.simulated.words import vocabulary
from ml.portraits.belief import FADING
from spark_jobs.pseudonyms import Pseudonyms, read_key

HISTORY = ((1, 9), (10, 29), (30, 99), (100, 10**9))
BINS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class TrueUser:
    """What is true of one user; `left` is days until he leaves (0 and below: he has)."""

    categories: dict[str, float]
    brands: dict[str, float]
    price_level: float
    gap: float
    left: int
    hour: float
    platform: str


def true_users(shop_dir: Path, as_of: str, places: dict[str, float]) -> dict[str, TrueUser]:
    """Return the users of a day, by pseudonym; `places` is where an item stands among its shelf's prices."""
    pseudonyms = Pseudonyms(read_key(shop_dir.parent / "secrets" / "pseudonym.key"))
    truth, day = Truth(shop_dir / "truth"), number_of(date.fromisoformat(as_of))
    catalogue = Catalogue(truth.seed, truth.users, day)
    leaves, today = vocabulary().leaves, catalogue.today(day)
    leaf_category = [leaf.path.split(" > ")[0] for leaf in leaves]
    place = np.array([places.get(catalogue.item_id(i), 0.5) for i in range(len(today.price))])
    brand_names = [vocabulary().brands[b] for b in catalogue.brand[: len(today.price)]]
    brands, brand_of = np.unique(brand_names, return_inverse=True)
    found = {}
    shards = [
        Shard(catalogue, truth.users, index, day, truth.rates.bot, truth.rates.missing_consent)
        for index in range(shard_count(truth.users))
    ]
    more = orders_made(shop_dir, as_of) / sum(orders_wanted(shard, day) for shard in shards)
    for shard in shards:
        users = np.arange(shard.count(day))
        in_leaf = probabilities(leaf_utility(shard, users, catalogue, day))
        wants = np.zeros((len(users), len(today.price)))
        for leaf, items in enumerate(today.by_leaf):
            if len(items):
                of_item = probabilities(item_utility(shard, users, catalogue, items, day))
                wants[:, items] = in_leaf[:, leaf, None] * of_item
        of_brand = np.zeros((len(users), len(brands)))
        np.add.at(of_brand.T, brand_of, wants.T)
        level = wants @ place
        for user in users.tolist():
            categories: dict[str, float] = {}
            for name, share in zip(leaf_category, probabilities(shard.leaf_preference[[user]])[0], strict=True):
                categories[name] = categories.get(name, 0.0) + float(share)
            found[pseudonyms.of(shard.user_id(user))] = TrueUser(
                categories,
                dict(zip(brands.tolist(), of_brand[user].tolist(), strict=True)),
                float(level[user]),
                1 / max(float(shard.visits[user] * shard.buys[user]) * more, 1e-9),
                int(min(shard.churned[user], shard.erased[user])) - day,
                float(shard.hour[user] % 24),
                PLATFORMS[shard.platform[user]],
            )
    return found


def orders_wanted(shard: Shard, day: int) -> float:
    """Return how many visits that buy the users' own rates lead to from the opening day to `day`."""
    n = shard.count(day)
    there = np.minimum(np.minimum(shard.churned[:n], shard.erased[:n]), day + 1) - np.maximum(
        shard.registered[:n], 0
    )
    human = shard.kind[:n] == HUMAN
    return float((shard.visits[:n] * shard.buys[:n] * np.maximum(there, 0) * human).sum())


def orders_made(shop_dir: Path, as_of: str) -> int:
    """Return the known users' days with a purchase up to the day: repeats, companions and campaigns made some."""
    (row,) = duckdb.execute(
        f"""
        select count(distinct (user_id, filename))
        from read_parquet('{shop_dir}/truth/purchases/*.parquet', filename = true)
        where not is_anonymous and left(parse_filename(filename), 10) <= ?
        """,
        [as_of],
    ).fetchall()
    return int(row[0])


class Judge:
    """Says of a belief whether it is right of a user."""

    def __init__(
        self, users: dict[str, TrueUser], bought_later: dict[str, list[int]], segments: dict[str, str]
    ) -> None:
        self._users, self._later, self._segments = users, bought_later, segments
        everyone = list(users.values())
        self._brand = {b: float(np.mean([u.brands[b] for u in everyone])) for b in everyone[0].brands}
        self.middle: dict[str, float] = {}

    def is_right(self, user_id: str, row: dict[str, Any], as_of: str) -> bool:
        """Whether a row of user_traits is true of a user."""
        user, trait, value = self._users[user_id], row["trait"], row["value"]
        if trait in ("category_affinity", "taste_segment"):
            best = sorted(user.categories, key=lambda c: -user.categories[c])
            told = row["subject"] if trait == "category_affinity" else self._segments.get(value, "")
            return told in best[: 3 if trait == "category_affinity" else 2]
        if trait == "brand_affinity":
            return user.brands.get(row["subject"], 0.0) > self._brand.get(row["subject"], 0.0)
        if trait == "price_level":
            return (row["strength"] > self.middle["believed"]) == (user.price_level > self.middle["true"])
        if trait == "purchase_rhythm":
            return bool(abs(np.log(row["strength"] / user.gap)) <= np.log(2))
        if trait == "next_purchase":
            first, last = row["strength"] - row["gap"] / 2, row["strength"] + row["gap"] / 2
            return any(first <= day <= last for day in self._later.get(user_id, ()))
        if trait == "lifecycle_stage":
            return user.left <= FADING_DAYS if value in ("at_risk", "dormant") else user.left > 0
        if trait == "active_hour":
            away = abs(float(value[:2]) + 0.5 - user.hour)
            return min(away, 24 - away) <= 2.5
        return bool(value == user.platform)


TRAITS = (
    *("category_affinity", "brand_affinity", "price_level", "purchase_rhythm", "next_purchase", "lifecycle_stage"),
    *("active_hour", "platform", "taste_segment"),
)
#: Traits whose confidence is a probability; of the others it is what is right beyond chance.
PROBABILITIES = ("lifecycle_stage", "next_purchase")
#: Traits that are a number: how it is found in the truth.
NUMBERS = {"price_level": "price_level", "purchase_rhythm": "gap"}


def can_be_judged(row: dict[str, Any]) -> bool:
    """Whether the days that are known after the as-of date suffice to tell."""
    if row["trait"] != "next_purchase":
        return True
    return row["gap"] is not None and row["strength"] + row["gap"] / 2 <= EVALUATION_DAYS


def judged(shop_dir: Path, as_of: str) -> tuple[list[dict[str, Any]], dict[str, TrueUser]]:
    """Return the run's traits, each with whether it is right, right of another user, and the user's actions."""
    lake = shop_dir / "lake"
    with duckdb.connect(str(features_db(lake)), read_only=True) as features:
        items = features.execute(
            """
            select
                item_id,
                rank() over (partition by category_path order by price)
                + (count(*) over (partition by category_path, price) - 1) / 2.0 - 0.5 as mid_rank,
                count(*) over (partition by category_path) as items
            from features.features.item_features
            where price is not null
            """
        ).fetchall()
        later = dict(
            features.execute(
                """
                select user_id, list(event_date - cast(? as date))
                from features.features.later_purchases group by user_id
                """,
                [as_of],
            ).fetchall()
        )
    out = outputs_dir(lake, as_of)
    rows = duckdb.read_parquet(str(out / "user_traits.parquet")).to_arrow_table().to_pylist()
    segments = dict(
        duckdb.execute(f"select taste_segment, top_category from '{out}/taste_segments.parquet'").fetchall()
    )
    users = true_users(shop_dir, as_of, {item: rank / count for item, rank, count in items})
    actions = {row["user_id"]: row["evidence_count"] for row in rows if row["trait"] == "cold_start"}
    gaps = {row["user_id"]: row["strength"] for row in rows if row["trait"] == "purchase_rhythm"}
    rows = [row | {"gap": gaps.get(row["user_id"])} for row in rows]
    rows = [row for row in rows if row["user_id"] in users and row["trait"] in TRAITS and can_be_judged(row)]
    judge = Judge(users, later, segments)
    levels = [
        (row["strength"], users[row["user_id"]].price_level) for row in rows if row["trait"] == "price_level"
    ]
    judge.middle = {
        "believed": float(np.median([b for b, _ in levels])),
        "true": float(np.median([t for _, t in levels])),
    }
    random = np.random.default_rng(0)
    for trait in TRAITS:
        of_trait = [row for row in rows if row["trait"] == trait]
        others = random.permutation([row["user_id"] for row in of_trait])
        for row, other in zip(of_trait, others, strict=True):
            row["actions"] = actions[row["user_id"]]
            row["right"] = judge.is_right(row["user_id"], row, as_of)
            row["by_chance"] = judge.is_right(str(other), row, as_of)
    return rows, users


def by_history(rows: list[dict[str, Any]], users: dict[str, TrueUser]) -> list[dict[str, Any]]:
    """Return one figure a trait and range of actions."""
    found = []
    for trait in TRAITS:
        for low, high in (*HISTORY, (1, 10**9)):
            part = [row for row in rows if row["trait"] == trait and low <= row["actions"] <= high]
            if len(part) < 10:
                continue
            figure = {
                "trait": trait, "actions": f"{low}-{high}" if high < 10**9 else f"{low}+", "beliefs": len(part),
                **{name: round(float(np.mean([row[name] for row in part])), 3)
                   for name in ("right", "by_chance", "confidence")},
            }  # fmt: skip
            if trait in NUMBERS:
                true = [getattr(users[row["user_id"]], NUMBERS[trait]) for row in part]
                figure["rank_correlation"] = round(
                    float(spearmanr([r["strength"] for r in part], true).statistic), 3
                )
            found.append(figure)
    return found


def calibration(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return by trait what is right in each bin of confidence, beyond chance where that is meant, and the error.

    The error is the mean distance of the two over the beliefs (expected calibration error).
    """
    found = []
    for trait in TRAITS:
        part = [row for row in rows if row["trait"] == trait and row["evidence_count"]]
        if not part:
            continue
        chance = 0.0 if trait in PROBABILITIES else float(np.mean([row["by_chance"] for row in part]))
        confidence = np.array([row["confidence"] for row in part])
        right = (np.array([row["right"] for row in part], dtype=float) - chance) / (1 - chance)
        place = np.searchsorted(BINS, confidence, side="right")
        bins = [
            {"beliefs": int((place == b).sum()), "confidence": round(float(confidence[place == b].mean()), 3),
             "right": round(float(right[place == b].mean()), 3)}
            for b in np.unique(place)
        ]  # fmt: skip
        error = sum(b["beliefs"] * abs(b["confidence"] - b["right"]) for b in bins) / len(part)
        found.append({"trait": trait, "calibration_error": round(error, 3), "bins": bins})
    return found


def best_fading(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, by trait, n0 and ceiling (ml/portraits/belief.py) under which half of the users are likeliest."""
    found = []
    for trait in sorted(set(FADING) & set(TRAITS) - set(PROBABILITIES)):
        part = [row for row in rows if row["trait"] == trait and is_for_choosing(row["user_id"])]
        chance = float(np.mean([row["by_chance"] for row in part]))
        right = np.array([row["right"] for row in part])
        now = FADING[trait]
        shares = np.minimum(np.array([row["confidence"] for row in part]) / now.ceiling, 1 - 1e-9)
        evidence = -now.n0 * np.log1p(-shares)
        best = (-np.inf, 0.0, 0.0)
        for n0 in np.geomspace(0.2, 200, 61):
            for ceiling in np.arange(0.3, 1.001, 0.05):
                likely = chance + (1 - chance) * min(ceiling, 0.999) * -np.expm1(-evidence / n0)
                best = max(
                    best, (float(np.log(np.where(right, likely, 1 - likely)).sum()), float(n0), float(ceiling))
                )
        found.append({"trait": trait, "n0": round(best[1], 2), "ceiling": round(best[2], 2), "users": len(part)})
    return found


def is_for_choosing(user_id: str) -> bool:
    """Whether a user is of the half on which n0 and ceiling are chosen; the figures are of the other half."""
    return int(user_id[-1], 16) % 2 == 0


def main() -> None:
    """Print the comparison for one shop and day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop_dir", type=Path, help="folder of the simulated shop, e.g. var/simulated")
    parser.add_argument("--as-of", required=True, help="the day that was run last")
    args = parser.parse_args()
    rows, users = judged(args.shop_dir, args.as_of)
    history = by_history(rows, users)
    sure = calibration([row for row in rows if not is_for_choosing(row["user_id"])])
    print(
        f"{'trait':<18}{'actions':>9}{'beliefs':>9}{'right':>8}{'chance':>8}{'confidence':>12}{'rank corr.':>12}"
    )
    for row in history:
        correlation = f"{row['rank_correlation']:>12.3f}" if "rank_correlation" in row else ""
        print(
            f"{row['trait']:<18}{row['actions']:>9}{row['beliefs']:>9}{row['right']:>8.3f}{row['by_chance']:>8.3f}"
            f"{row['confidence']:>12.3f}{correlation}"
        )
    print("\nconfidence -> right beyond chance (beliefs), by bins of confidence, on half of the users;")
    print(f"of {' and '.join(PROBABILITIES)}: share right")
    for row in sure:
        bins = "  ".join(f"{b['confidence']:.2f} -> {b['right']:.2f} ({b['beliefs']})" for b in row["bins"])
        print(f"{row['trait']:<18} error {row['calibration_error']:.3f}  {bins}")
    fading = best_fading(rows)
    print("\nn0 and ceiling of highest likelihood on the other half")
    for row in fading:
        print(f"{row['trait']:<18} n0 {row['n0']:>7.2f}  ceiling {row['ceiling']:.2f}  ({row['users']} beliefs)")
    print(json.dumps({"by_history": history, "calibration": sure, "best_fading": fading}))


if __name__ == "__main__":
    main()

"""Are the reasons of a run the causes: what do scores lose without the evidence named, and without something else?

    python -m bench.reasons var/simulated --as-of 2026-10-31

Draws recommendations of the run whose reason is an item that the user acted on (popularity and newness aside:
their cause is no action), and scores each anew, by the model that made it, after taking all of the user's actions
on the evidence out of the log; and after taking out another item of the user's, drawn at random. Also: do the
parts of each score add up to it, and does `ml.explain.checker` find any claim that is not so, over all rows. Last
line: JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from expectations.tables import outputs_dir
from ml.explain.checker import day_rows, faults, load_known
from ml.recommender.candidates import describe
from ml.recommender.dataset import ActionLog, Shop, connect, load_shop
from ml.recommender.history import build_history
from ml.recommender.leave_one_out import without
from ml.recommender.recommend import Pool
from ml.recommender.recommend_home import SURFACE
from ml.recommender.serving import BlendServing, LearnedServing, Serving, choose, items_of, serve_day
from ml.rerank.reranker import Reranker
from ml.rerank.settings import RerankSettings
from ml.text_encoder import store

BY_ACTION = ("because_you_bought", "because_you_viewed", "similar_text", "buy_again")
TOGETHER = 100  # users scored at once
NOTHING = -2  # in the place of an item to leave out
CLOSE = 1e-5


@dataclass(frozen=True)
class Drawn:
    """Recommendations, one entry each: positions of user, item, evidence and another item of the user's, or -1."""

    user: np.ndarray
    item: np.ndarray
    evidence: np.ndarray
    other: np.ndarray
    score: np.ndarray
    contribution: np.ndarray
    code: np.ndarray


def draw(lake: Path, as_of: str, shop: Shop, count: int, seed: int) -> tuple[Drawn, dict[str, int]]:
    """Draw recommendations that rest on actions, and count what the run's reasons are."""
    path = outputs_dir(lake, as_of) / "home_recommendations.parquet"
    rows = duckdb.execute(
        f"""
        select user_id, item_id, evidence_id, score, contribution, reason_code, is_exploration
        from '{path}' order by user_id, rank
        """
    ).fetchnumpy()
    codes = np.asarray(rows["reason_code"], dtype=object)
    eligible = np.flatnonzero(np.isin(codes, BY_ACTION))
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(eligible, min(count, len(eligible)), replace=False))
    user_of = {name: place for place, name in enumerate(shop.users.user_ids)}
    item_of = {name: place for place, name in enumerate(shop.catalogue.item_ids)}
    user = np.array([user_of[name] for name in rows["user_id"][some]], dtype=np.int64)
    item, evidence = (
        np.array([item_of[name] for name in rows[column][some]], dtype=np.int64)
        for column in ("item_id", "evidence_id")
    )
    log = shop.log
    starts = np.concatenate(([0], np.cumsum(np.bincount(log.user, minlength=log.n_users))))
    other = np.full(len(some), -1, dtype=np.int64)
    for number, (whose, past) in enumerate(zip(user, evidence, strict=True)):
        others = np.setdiff1d(log.item[starts[whose] : starts[whose + 1]], [past])
        if len(others):
            other[number] = rng.choice(others)
    score, contribution = (np.asarray(rows[name][some]) for name in ("score", "contribution"))
    drawn = Drawn(user, item, evidence, other, score, contribution, codes[some])
    return drawn, dict(sorted(Counter(codes.tolist()).items()))


def scores_without(
    serving: Serving, pool: Pool, user: np.ndarray, item: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    """Return the score of each (user, item) had the user never acted on `left_out` (NOTHING: as it is)."""
    found = []
    for begin in range(0, len(user), TOGETHER):
        some = slice(begin, begin + TOGETHER)
        users, row = np.unique(user[some], return_inverse=True)
        if isinstance(serving, LearnedServing):
            found.append(_learned(serving, pool, users, row, item[some], left_out[some]))
        elif isinstance(serving, BlendServing):
            log = serving.log.before(serving.blend.items.as_of).of_users(users)
            found.append(_blend(serving, log, users, row, item[some], left_out[some]))
    return np.concatenate(found)


def _blend(
    serving: BlendServing,
    log: ActionLog,
    users: np.ndarray,
    row: np.ndarray,
    item: np.ndarray,
    left_out: np.ndarray,
) -> np.ndarray:
    history = build_history(without(log, row, left_out), serving.blend.items.as_of, serving.blend.settings)
    scores = serving.blend.score(history, serving.segment[users[row]])
    return np.asarray(scores[np.arange(len(row)), item])


def _learned(
    serving: LearnedServing, pool: Pool, users: np.ndarray, row: np.ndarray, item: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    sources, model = serving.sources, serving.model
    log = sources.log.of_users(users)
    candidates = describe(sources, sources.scores_of(users, log), model.weight, pool=pool)
    anew = sources.scores_of(users[row], without(log, row, left_out))
    described = describe(sources, anew, model.weight, candidates.items[row])
    place = np.argmax(described.items == item[:, None], axis=1)
    return np.exp(model.score(described)[np.arange(len(row)), place])


def parts_off(lake: Path, as_of: str) -> tuple[int, float]:
    """Return the number of recommendations with parts, and the largest relative difference of sum and score."""
    folder = outputs_dir(lake, as_of)
    found = duckdb.execute(
        f"""
        with parts as (
            select recommendation_id, any_value(scale) as scale, sum(contribution) as whole
            from '{folder}/recommendation_explanations.parquet' where kind = 'part' group by recommendation_id
        )
        select count(*), max(abs(whole - if(scale = 'score', score, ln(score))) / greatest(1, abs(whole)))
        from parts inner join '{folder}/home_recommendations.parquet' using (recommendation_id)
        """
    ).fetchone()
    assert found is not None
    return int(found[0]), float(found[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", type=Path, help="the shop's folder, e.g. var/simulated")
    parser.add_argument("--as-of", required=True, help="day of the run")
    parser.add_argument("--count", type=int, default=1000, help="recommendations drawn (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    lake = args.shop / "lake"
    text_version = store.chosen_version(lake, args.as_of)
    with connect(lake) as connection:
        shop = load_shop(connection, args.as_of)
        known = load_known(connection, args.as_of)
        items = items_of(shop, store.read(lake, text_version, shop.catalogue.text_hashes))
        pool = Reranker.load(connection, shop, items.text, RerankSettings(), SURFACE).pool
    chosen = choose(lake, args.as_of, text_version)
    serving = serve_day(chosen, shop, items).serving
    drawn, codes = draw(lake, args.as_of, shop, args.count, args.seed)
    nothing = np.full(len(drawn.user), NOTHING)
    as_is = scores_without(serving, pool, drawn.user, drawn.item, nothing)
    evidence_fall = as_is - scores_without(serving, pool, drawn.user, drawn.item, drawn.evidence)
    has_other = drawn.other >= 0
    others = only(drawn, has_other)
    other_fall = as_is[has_other] - scores_without(serving, pool, others.user, others.item, others.other)
    total = sum(codes.values())
    result: dict[str, Any] = {
        "bench": "reasons",
        "shop": args.shop.name,
        "model": chosen.version,
        "reasons": codes,
        "eligible_share": round(sum(codes.get(code, 0) for code in BY_ACTION) / total, 4) if total else 0.0,
        "drawn": len(drawn.user),
        "score_is_the_published_one": share(np.abs(as_is - drawn.score) <= CLOSE * np.maximum(drawn.score, 1.0)),
        "contribution_is_the_fall": share(
            np.abs(evidence_fall - drawn.contribution) <= CLOSE * np.maximum(drawn.score, 1.0)
        ),
        "lower_without_the_evidence": share(evidence_fall > 0),
        "with_another_action": int(has_other.sum()),
        "more_than_without_another": share(evidence_fall[has_other] > other_fall),
        "by_reason": {
            code: {
                "drawn": int((drawn.code == code).sum()),
                "lower_without_the_evidence": share(evidence_fall[drawn.code == code] > 0),
                "more_than_without_another": share(
                    (evidence_fall[has_other] > other_fall)[drawn.code[has_other] == code]
                ),
            }
            for code in BY_ACTION
            if (drawn.code == code).any()
        },
    }
    result["with_parts"], result["parts_off_at_most"] = parts_off(lake, args.as_of)
    wrong = [f"{row['recommendation_id']}: {said}" for row, said in faults(day_rows(argparse.Namespace(
        lake=lake, as_of=args.as_of)), known)]  # fmt: skip
    result["rows_checked"], result["claims_at_fault"] = total, len(wrong)
    for said in wrong[:5]:
        print("AT FAULT", said)
    print(f"{result['drawn']} recommendations of {chosen.version}, drawn from "
          f"the {100 * result['eligible_share']:.1f}% of {total} whose reason is an action")  # fmt: skip
    for name in ("lower_without_the_evidence", "more_than_without_another", "contribution_is_the_fall"):
        print(f"{name.replace('_', ' '):35s} {100 * result[name]:.1f}%")
    print(json.dumps(result, ensure_ascii=False))


def share(holds: np.ndarray) -> float:
    """Return in what share of cases something holds."""
    return round(float(np.mean(holds)), 4) if len(holds) else float("nan")


def only(drawn: Drawn, kept: np.ndarray) -> Drawn:
    """Keep some of what was drawn."""
    return replace(drawn, **{name: getattr(drawn, name)[kept] for name in Drawn.__dataclass_fields__})


if __name__ == "__main__":
    main()

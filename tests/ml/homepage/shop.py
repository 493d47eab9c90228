"""A small shop as features and lists, and the pages that the step lays out for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from expectations.tables import outputs_dir
from ml.homepage.lay_out_pages import lay_out_pages
from ml.homepage.settings import PageSettings
from ml.recommender.outputs import output_schema, write_output
from tests.ml.conftest import AS_OF, action, build_features, item, step_args, user

Rows = list[dict[str, Any]]
DAY = AS_OF.isoformat()


def listed(
    user_id: str, item_ids: Iterable[str], chance: float = 0.1, explored: Iterable[str] = (), **more: Any
) -> Rows:
    """A user's list; each row's chance is half of the one before."""
    return [
        {
            "user_id": user_id,
            "surface": "home",
            "rank": rank,
            "recommendation_id": f"{user_id}/{rank}",
            "item_id": item_id,
            "score": chance / 2 ** (rank - 1),
            "probability": chance / 2 ** (rank - 1),
            "candidate_source": "item_to_item",
            "reason_code": "because_you_viewed",
            "reason_text": f"Because of {item_id}",
            "reason_text_zh": f"因为{item_id}",
            "evidence_type": "item",
            "evidence_id": item_id,
            "contribution": 0.1,
            "is_exploration": item_id in explored,
            "is_promoted": False,
            "propensity": 0.25 if item_id in explored else 1.0,
            "experiment_id": None,
            "variant": None,
            **more,
        }
        for rank, item_id in enumerate(item_ids, start=1)
    ]


def similar(item_id: str, others: Iterable[str], reason_code: str = "bought_together") -> Rows:
    return [
        {"item_id": item_id, "rank": rank, "similar_item_id": other, "score": 1.0, "reason_code": reason_code}
        for rank, other in enumerate(others, start=1)
    ]


def popular(segment: str, item_ids: Iterable[str]) -> Rows:
    return [
        {"segment": segment, "rank": rank, "item_id": item_id, "score": 1.0 / rank}
        for rank, item_id in enumerate(item_ids, start=1)
    ]


def popular_in(region: str, item_ids: Iterable[str]) -> Rows:
    return [
        {"region": row["segment"], "rank": row["rank"], "item_id": row["item_id"], "score": row["score"]}
        for row in popular(region, item_ids)
    ]


def drop(item_id: str, before: float, now: float) -> dict[str, Any]:
    return {
        "item_id": item_id, "price": now, "price_before": before, "dropped_on": AS_OF,
        "price_drop": 1 - now / before,
    }  # fmt: skip


def campaign(campaign_id: str, name: str, item_ids: Iterable[str]) -> Rows:
    dates = {"starts_on": AS_OF, "ends_on": AS_OF + timedelta(days=7)}
    return [
        {"campaign_id": campaign_id, "campaign_name": name, "item_id": item_id, **dates} for item_id in item_ids
    ]


def catalogue(count: int, **columns: Any) -> Rows:
    """Items i00, i01, ... of a year ago."""
    return [
        item(f"i{n:02}", **{"created_on": date(2025, 10, 1), "popularity": float(count - n), **columns})
        for n in range(count)
    ]


def write_lists(lake: Path, lists: Rows, similar_items: Rows) -> None:
    for name, rows in (("home_recommendations", lists), ("similar_items", similar_items)):
        columns = [field.name for field in output_schema(name)][:-1]
        batch = {column: [row.get(column) for row in rows] for column in columns}
        write_output(lake, DAY, name, [{**batch, "model_version": "test-1"}])


def lay_out(
    lake: Path, lists: Rows, similar_items: Rows = (), settings: PageSettings | None = None, **tables: Any
) -> dict[str, Rows]:
    """Build the shop, lay out its pages, and return each user's slots in order."""
    given = {row["user_id"]: None for row in lists}
    tables.setdefault("user_features", [user(user_id) for user_id in sorted(given)])
    # Somebody acts on the day itself, so that it is the shop's last; whose page it is not.
    tables["user_actions"] = [*tables.get("user_actions", ()), action("elsewhere", "i00", "view", days_ago=0)]
    build_features(lake, **tables)
    write_lists(lake, lists, list(similar_items))
    lay_out_pages(step_args(lake), settings)
    return pages(lake)


def pages(lake: Path) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in pq.read_table(outputs_dir(lake, DAY) / "homepage_layouts.parquet").to_pylist():
        found.setdefault(row["user_id"], []).append(row)
    return found


def contents(page: Rows, module: str) -> list[str]:
    return [row["content_id"] for row in page if row["module"] == module]


def first(page: Rows, module: str) -> dict[str, Any]:
    return next(row for row in page if row["module"] == module)

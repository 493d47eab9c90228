"""A small shop's candidate tables, valid by every suite, for tests of checks and of publishing.

Rows are plain dicts, so that a test breaks exactly what it is about before writing them.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import FEATURES, OUTPUTS, PUBLISHED, Table, features_db, outputs_dir

GENERATED_AT = datetime(2026, 11, 1, 6, 0)
ARROW = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "decimal(18,4)": pa.decimal128(18, 4),
    "decimal(18,3)": pa.decimal128(18, 3),
}

Rows = list[dict[str, Any]]


def user_id(number: int) -> str:
    """A pseudonym: 32 hex digits."""
    return f"{number:032x}"


def _portrait_tables(users: int, item_ids: list[str], run: dict[str, Any]) -> dict[str, Rows]:
    """What the portray step writes beside user_portraits."""
    trait = {
        "trait": "category_affinity",
        "subject": "厨房",
        "value": "0.8",
        "strength": 0.8,
        "confidence": 0.7,
        "source": "measured",
        "evidence": "8 of 10 actions",
        "evidence_zh": "10 次行为中的 8 次",
        "evidence_count": 8,
        "valid_from_at": datetime(2026, 10, 1),
    }
    segment = {
        "taste_segment": "t1",
        "name": "Kitchen",
        "name_zh": "厨房爱好者",
        "description": "Buys kitchen things 2.0 times as often as everyone.",
        "description_zh": "购买厨房用品的比例是所有人的 2.0 倍。",
        "users": users,
        "share": 1.0,
        "top_category": "厨房",
        "top_category_lift": 2.0,
    }
    item = {
        "price": 9.5,
        "is_active": True,
        "popularity": 1.0,
        "views_30d": 1,
        "purchases_30d": 1,
        "reviews": 0,
        "is_cold_start": False,
    }
    return {
        "user_traits": [{"user_id": user_id(n), **trait, **run} for n in range(users)],
        "taste_segments": [{**segment, **run}],
        "item_portraits": [
            {"item_id": item_id, "title": f"Item {item_id}", "popularity_rank": rank, **item, **run}
            for rank, item_id in enumerate(item_ids, start=1)
        ],
    }


def _page_tables(as_of: str, users: int, shown: list[str], run: dict[str, Any]) -> dict[str, Rows]:
    """What goes with the lists: why, what rules did, and the page."""
    explanation = {
        "kind": "evidence",
        "reason_rank": 1,
        "reason_code": "because_you_bought",
        "evidence_type": "item",
        "evidence_id": "i024",
        "contribution": 0.5,
        "scale": "score",
    }
    part = {
        **explanation,
        "kind": "part",
        "reason_code": "item_to_item",
        "evidence_type": "part",
        "evidence_id": "item_to_item",
    }
    filtered = {
        "surface": "home",
        "item_id": "i024",
        "rule": "already_bought",
        "action": "removed",
        "rule_version": "rules-1",
        "detail": "bought 2 times",
    }
    slot = {
        "module": "for_you",
        "module_rank": 1,
        "module_title": "For you",
        "module_title_zh": "为你推荐",
        "content_type": "item",
        "reason_code": "because_you_bought",
        "reason_text": "Because you bought a blue kettle",
        "reason_text_zh": "因为您买过蓝色水壶",
        "evidence_type": "item",
        "evidence_id": "i024",
        "expected_value": 0.1,
        "is_exploration": False,
        "propensity": 1.0,
    }
    ranks = range(1, len(shown) + 1)
    return {
        "recommendation_explanations": [
            {
                "recommendation_id": f"{as_of}/{n}/{rank}",
                **row,
                **({"contribution": 1.0 / rank} if row is part else {}),
                **run,
            }
            for n in range(users)
            for rank in ranks
            for row in (explanation, part)
        ],
        "recommendation_filters": [{"user_id": user_id(n), **filtered, **run} for n in range(users)],
        "homepage_layouts": [
            {
                "user_id": user_id(n),
                "slot": rank,
                "rank": rank,
                "content_id": item_id,
                "recommendation_id": f"{as_of}/{n}/{rank}",
                "probability": 0.5 / rank,
                **slot,
                **run,
            }
            for n in range(users)
            for rank, item_id in zip(ranks, shown, strict=True)
        ],
    }


def candidate_tables(as_of: str, run_id: str, users: int = 3, items: int = 25) -> dict[str, Rows]:
    """The rows of every published table but data_quality_results, and of item_features and user_features."""
    run = {
        "as_of_date": date.fromisoformat(as_of),
        "run_id": run_id,
        "model_version": "test-1",
        "generated_at": GENERATED_AT,
    }
    item_ids = [f"i{number:03}" for number in range(items)]
    shown = item_ids[:20]
    portrait = {
        "lifecycle_stage": "active",
        "segment": "champions",
        "days_since_last_purchase": 3,
        "orders_7d": 1,
        "orders_30d": 2,
        "orders_90d": 2,
        "orders_365d": 5,
        "amount_spent_7d": 10.0,
        "amount_spent_30d": 20.5,
        "amount_spent_90d": 20.5,
        "amount_spent_365d": 99.0,
        "average_order_value": 19.8,
        "favorite_category": "厨房",
        "price_band": "mid",
        "active_hour": 20,
        "platform": "web",
        "language": "zh",
        "taste_segment": "t1",
        "portrait_text": "Buys kitchen things.",
        "portrait_text_zh": "常买厨房用品。",
        "confidence": 0.8,
        "is_cold_start": False,
    }
    recommendation = {
        "surface": "home",
        "candidate_source": "item_to_item",
        "reason_code": "because_you_bought",
        "reason_text": "Because you bought a blue kettle",
        "reason_text_zh": "因为您买过蓝色水壶",
        "evidence_type": "item",
        "evidence_id": item_ids[-1],
        "contribution": 0.5,
        "is_exploration": False,
        "is_promoted": False,
        "propensity": 1.0,
    }
    metric = {
        "model": "home",
        "segment": "all",
        "baseline_model": "popularity",
        "users": users,
        "protocol": "held_out",
        "measured_from": date(2026, 10, 25),
        "measured_to": date(2026, 10, 31),
    }
    return {
        "user_portraits": [{"user_id": user_id(n), **portrait, **run} for n in range(users)],
        "home_recommendations": [
            {
                "user_id": user_id(n),
                "rank": rank,
                "recommendation_id": f"{as_of}/{n}/{rank}",
                "item_id": item_id,
                "score": 1.0 / rank,
                "probability": 0.5 / rank,
                **recommendation,
                **run,
            }
            for n in range(users)
            for rank, item_id in enumerate(shown, start=1)
        ],
        **_portrait_tables(users, item_ids, run),
        **_page_tables(as_of, users, shown, run),
        "recommendation_explanations": [
            {"recommendation_id": f"{as_of}/{n}/{rank}", "reason_rank": 1, "scale": "score", **row, **run}
            for n in range(users)
            for rank in range(1, len(shown) + 1)
            for row in (
                {
                    "kind": "evidence",
                    "contribution": 0.5,
                    **{name: recommendation[name] for name in ("reason_code", "evidence_type", "evidence_id")},
                },
                {
                    "kind": "part",
                    "reason_code": "item_to_item",
                    "evidence_type": "part",
                    "evidence_id": "item_to_item",
                    "contribution": 1.0 / rank,
                },
            )
        ],
        "recommendation_filters": [
            {
                "user_id": user_id(n),
                "surface": "home",
                "item_id": item_ids[-2],
                "rule": "variety",
                "action": "removed",
                "rule_version": "rerank-1",
                "rank_before": 4,
                "detail": "likeness 0.93 to the nearest item above it",
                **run,
            }
            for n in range(users)
        ],
        "similar_items": [
            {
                "item_id": item_ids[0],
                "rank": rank,
                "similar_item_id": item_id,
                "score": 1.0 / rank,
                "reason_code": "bought_together",
                **run,
            }
            for rank, item_id in enumerate(item_ids[1:6], start=1)
        ],
        "hot_items": [
            {"segment": segment, "rank": rank, "item_id": item_id, "score": 10.0 - rank, **run}
            for segment in ("all", "champions")
            for rank, item_id in enumerate(item_ids[:5], start=1)
        ],
        "model_metrics": [
            {
                "metric": name,
                "k": k,
                "value": 0.3,
                "value_low": 0.2,
                "value_high": 0.4,
                "baseline_value": 0.1,
                **metric,
                **run,
            }
            for name in ("recall", "ndcg", "coverage")
            for k in (10, 20)
        ],
        "item_features": [
            {
                "item_id": item_id,
                "title": f"Item {item_id}",
                "price": 9.5,
                "is_active": True,
                "item_text": item_id,
                "text_hash": "0" * 64,
                "popularity": 1.0,
                "is_cold_start": False,
                **{f"views_{w}d": 1 for w in (7, 30)},
                **{f"purchases_{w}d": 1 for w in (7, 30, 90, 365)},
                "buyers_90d": 1,
            }
            for item_id in item_ids
        ],
        "user_actions": [
            {
                "event_id": f"e{n}",
                "user_id": user_id(n),
                "item_id": item_ids[-1],
                "event_type": "purchase",
                "event_at": datetime(2026, 10, 20, 8),
                "event_date": date(2026, 10, 20),
            }
            for n in range(users)
        ],
        "active_rules": [],
        "user_features": [
            {"user_id": user_id(n), "orders_total": 5, "amount_spent_total": 99.0, "actions_90d": 7, **portrait}
            for n in range(users)
        ],
    }


def check_result(**changes: Any) -> dict[str, Any]:
    """One row of data_quality_results."""
    return {
        "stage": "clean",
        "table_name": "events",
        "check_name": "Every event says when it happened",
        "column_name": "event_at",
        "status": "passed",
        "severity": "error",
        "observed": "all of 10 rows",
        "threshold": "never empty",
        "rows_checked": 10,
        "model_version": "suites-1",
        **changes,
    }


def arrow_table(table: Table, rows: Rows) -> pa.Table:
    """Rows as Arrow, typed as the contract says."""
    schema = pa.schema([(column.name, ARROW[column.type]) for column in table.columns])
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def write_candidates(lake: Path, tables: dict[str, Rows]) -> None:
    """Write `features.duckdb` as dbt leaves it: schemas `features` and `published`."""
    file = features_db(lake)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with duckdb.connect(str(file)) as connection:
        for name, rows in tables.items():
            schema, table = ("published", PUBLISHED[name]) if name in PUBLISHED else ("features", FEATURES[name])
            connection.execute(f"create schema if not exists features.{schema}")
            connection.register("rows", arrow_table(table, rows))
            connection.execute(f"create table features.{schema}.{name} as select * from rows")
            connection.unregister("rows")


def write_check_results(lake: Path, as_of: str, run_id: str, rows: Rows, stage: str = "") -> None:
    """Write the results of a run's checks as `expectations.run` leaves them."""
    folder = outputs_dir(lake, as_of)
    folder.mkdir(parents=True, exist_ok=True)
    names = [*OUTPUTS["data_quality_results"].column_names, "model_version"]
    table = pa.Table.from_pylist([{name: row[name] for name in names} for row in rows])
    table = table.replace_schema_metadata({"run_id": run_id})
    pq.write_table(table, folder / f"data_quality_results{stage}.parquet")

"""A small shop as dbt would leave it: features.duckdb, and item vectors without a text model."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from expectations.tables import FEATURES, features_db
from ml.text_encoder import store

AS_OF = date(2026, 10, 31)
SQL_TYPES = {"string": "varchar", "integer": "bigint", "timestamp": "timestamp"}
#: What a required column holds in a test that does not care.
PLAIN = {"varchar": "", "bigint": 0, "double": 0.0, "boolean": False}


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def item(item_id: str, **columns: Any) -> dict[str, Any]:
    text = columns.setdefault("item_text", f"text of {item_id}")
    return {
        "item_id": item_id,
        "title": f"Title of {item_id}",
        "is_active": True,
        "popularity": 1.0,
        "text_hash": text_hash(text),
        **columns,
    }


def user(user_id: str, segment: str = "loyal", **columns: Any) -> dict[str, Any]:
    return {"user_id": user_id, "segment": segment, "lifecycle_stage": "active", **columns}


def action(
    user_id: str, item_id: str, event_type: str = "purchase", days_ago: float = 1, quantity: float | None = None
) -> dict[str, Any]:
    """An action at noon (or a fraction of a day earlier) of its day; each day is one session."""
    at = datetime.combine(AS_OF, datetime.min.time()) + timedelta(hours=12) - timedelta(days=days_ago)
    return {
        "user_id": user_id,
        "item_id": item_id,
        "event_type": event_type,
        "event_at": at,
        "event_date": at.date(),
        "session_id": f"{user_id}-{at.date()}",
        "quantity": quantity,
    }


def build_features(lake: Path, **tables: Iterable[dict[str, Any]]) -> Path:
    """Write the feature tables with the columns of the contract; rows may leave columns out."""
    lake.mkdir(parents=True, exist_ok=True)
    features_db(lake).unlink(missing_ok=True)
    with duckdb.connect(str(features_db(lake))) as connection:
        connection.execute("create schema features.features")
        connection.execute("create schema features.intermediate")
        connection.execute(
            "create table features.intermediate.int_as_of as select cast(? as date) as as_of_date", [AS_OF]
        )
        for table in FEATURES.values():
            types = {c.name: SQL_TYPES.get(c.type, c.type) for c in table.columns}
            columns = ", ".join(f'"{name}" {type_}' for name, type_ in types.items())
            connection.execute(f"create table features.features.{table.name} ({columns})")
            rows = []
            for number, row in enumerate(tables.get(table.name, ())):
                given = {"event_id": f"event-{number:06d}", **row} if "event_id" in types else row
                assert set(given) <= set(types), f"{table.name} has no column {set(given) - set(types)}"
                plain = {c.name: PLAIN.get(types[c.name]) for c in table.columns if c.required}
                rows.append([{**plain, **given}.get(name) for name in types])
            if rows:
                given_rows = pa.table(dict(zip(types, map(list, zip(*rows, strict=True)), strict=True)))
                connection.register("given_rows", given_rows)
                connection.execute(f"insert into features.features.{table.name} from given_rows")
    return lake


def give_vectors(lake: Path, items: list[dict[str, Any]], groups: dict[str, int] | None = None) -> None:
    """Give each item a vector: items of one group look alike, all others have nothing in common."""
    hashes = sorted({row["text_hash"] for row in items})
    ids = {row["text_hash"]: row["item_id"] for row in items}
    basis = np.eye(len(hashes) + 10, dtype=np.float32)
    vectors = np.stack([basis[number] for number in range(len(hashes))])
    for number, one in enumerate(hashes):
        group = (groups or {}).get(ids[one])
        if group is not None:
            vectors[number] = 0.6 * basis[number] + 0.8 * basis[len(hashes) + group]
    store.append(lake, "test-1", hashes, vectors)
    store.choose_version(lake, AS_OF.isoformat(), "test-1")


def step_args(lake: Path) -> argparse.Namespace:
    return argparse.Namespace(lake=lake, as_of=AS_OF.isoformat(), run_id="test", variety=0.3, exploration_slots=1)


def lively_shop(users: int = 120, items: int = 40, days: int = 60, seed: int = 5) -> dict[str, Any]:
    """Users who go on buying within their own half of the catalogue, a step along it each time."""
    rng = np.random.default_rng(seed)
    item_rows = [item(f"i{n:03d}", popularity=float(items - n), is_active=n % 10 != 9) for n in range(items)]
    actions, later = [], []
    for number in range(users):
        half, place = number % 2 * (items // 2), int(rng.integers(0, items // 2))
        for days_ago in range(days, -8, -int(rng.integers(4, 7))):
            place = (place + int(rng.integers(1, 3))) % (items // 2)
            row = action(f"u{number:03d}", f"i{half + place:03d}", "purchase", days_ago, 1.0)
            if days_ago >= 0:
                actions.append({**row, "event_at": row["event_at"] - timedelta(hours=1), "event_type": "view"})
                actions.append(row)
            else:
                later.append({k: row[k] for k in ("user_id", "item_id", "event_at", "event_date")})
    segments = [
        {"segment": segment, "rank": rank, "item_id": row["item_id"], "score": row["popularity"]}
        for segment in ("all", "loyal")
        for rank, row in enumerate((r for r in item_rows if r["is_active"]), 1)
    ]
    return {
        "item_features": item_rows,
        "user_features": [user(f"u{n:03d}") for n in range(users)] + [user("cold", "newcomers")],
        "user_actions": actions,
        "later_purchases": later,
        "segment_items": segments,
    }


@pytest.fixture
def lake_of(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a lake with the given feature tables and vectors for its items."""

    def build(**tables: Any) -> Path:
        lake = build_features(tmp_path / "lake", **tables)
        give_vectors(lake, list(tables["item_features"]))
        return lake

    return build

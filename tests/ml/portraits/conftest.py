"""A shop whose users' tastes are known, and the step run on it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expectations.tables import outputs_dir
from ml.portraits.portray import portray
from tests.ml.conftest import AS_OF, action, build_features, item, user

Rows = list[dict[str, Any]]


def goods() -> Rows:
    """Three categories of ten items each, dearer and dearer; two brands a category."""
    return [
        item(
            f"{category}{n}",
            title=f"{category} thing {n}",
            category=category,
            category_path=f"{category} > all",
            brand=f"{category}-{'ab'[n % 2]}",
            price=10.0 + n,
            created_on=date(2024, 1, 1),
        )
        for category in ("Books", "Garden", "茶叶")
        for n in range(10)
    ]


def days_of(actions: Rows, hour: int = 12, platform: str = "web") -> Rows:
    """The hours in which these actions took place, as user_days has them."""
    found: dict[tuple[str, date], int] = {}
    for row in actions:
        key = (row["user_id"], row["event_date"])
        found[key] = found.get(key, 0) + 1
    return [
        {
            "user_id": who,
            "event_date": day,
            "local_date": day,
            "event_hour": hour,
            "platform": platform,
            "actions": n,
        }
        for (who, day), n in sorted(found.items())
    ]


def shop(users: int = 90, seen_on: date = AS_OF) -> dict[str, Rows]:
    """Users who each like one category: they look at it every four days, and buy of it every eight.

    Somebody else is seen on `seen_on`, so that it is the shop's last day.
    """
    actions, people = [], []
    for number in range(users):
        name, category = f"u{number:03d}", ("Books", "Garden", "茶叶")[number % 3]
        for k, days_ago in enumerate(range(40, 1, -4)):
            kind = "purchase" if k % 2 else "view"
            row = action(name, f"{category}{(number + k) % 10}", kind, days_ago, 1.0 if k % 2 else None)
            actions.append({**row, "amount": 10.0 + (number + k) % 10 if k % 2 else None})
        people.append(user(name, active_hour=12, platform="web", orders_total=5, average_order_value=14.5))
    never_seen = {"lifecycle_stage": "visitor", "is_cold_start": True, "registered_on": date(2026, 10, 1)}
    people.append(user("yy", "newcomers", **never_seen))
    people.append(user("zz", "newcomers", **never_seen))
    return {
        "item_features": goods(),
        "user_features": people,
        "user_actions": actions,
        "user_days": days_of(actions) + days_of([{"user_id": "yy", "event_date": seen_on}]),
        "item_reviews": [],
    }


def run(lake: Path, as_of: date = AS_OF, portrait_writer: str = "template") -> dict[str, Any]:
    """Run the step for a day."""
    return portray(
        argparse.Namespace(lake=lake, as_of=as_of.isoformat(), run_id="t", portrait_writer=portrait_writer)
    )


def output(lake: Path, table: str, as_of: date = AS_OF) -> Rows:
    """Rows that the step wrote."""
    return pq.read_table(outputs_dir(lake, as_of.isoformat()) / f"{table}.parquet").to_pylist()


def traits(lake: Path, user_id: str, as_of: date = AS_OF) -> dict[tuple[str, str], dict[str, Any]]:
    """A user's traits by trait and subject."""
    return {(r["trait"], r["subject"]): r for r in output(lake, "user_traits", as_of) if r["user_id"] == user_id}


@pytest.fixture(scope="session")
def portrayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's lake after the step of its day and of the day after, on which only a stranger was seen."""
    lake = build_features(tmp_path_factory.mktemp("portraits") / "lake", **shop())
    run(lake)
    build_features(lake, **shop(seen_on=AS_OF + timedelta(days=1)))
    run(lake, AS_OF + timedelta(days=1))
    build_features(lake, **shop())
    return lake


@pytest.fixture
def portray_shop(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that portrays a shop and returns its lake."""

    def build(**tables: Any) -> Path:
        lake = build_features(tmp_path / "lake", **tables)
        run(lake)
        return lake

    return build

"""What portraits rest on: active hours, usual prices, reviews; and a profile joined to its user's features."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from tests.dbt_project.small_lake import SmallLake

DAY = "2026-10-31"


def event(number: int, day: str, user: str | None, kind: str, item: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_at": f"{day}T09:00:00+00:00",
        "user_id": user,
        "event_type": kind,
        "item_id": item,
        "event_date": day,
        "arrived_on": day,
    } | more


EVENTS = [
    event(1, DAY, "ann", "purchase", "tea", unit_price="8.0000", platform="ios"),
    event(2, DAY, "ann", "view", "tea", platform="ios"),
    event(3, DAY, "ann", "impression", "tea", platform="ios"),
    event(4, "2026-10-21", "ann", "purchase", "tea", unit_price="10.0000"),
    event(5, "2026-10-21", "bot", "purchase", "tea"),
    event(6, "2026-11-01", "ann", "purchase", "tea"),
    event(7, DAY, None, "purchase", "cup"),
    event(8, "2025-10-31", "ann", "view", "tea"),
]
PRICES = (("2026-10-01", "10.0000"), ("2026-10-29", "8.0000"), ("2026-11-01", "1.0000"))
ITEMS = [
    *({"item_id": "tea", "title": "茶", "price": price, "arrived_on": day} for day, price in PRICES),
    {"item_id": "cup", "title": "Cup", "price": "5.0000", "currency": "USD", "arrived_on": "2026-10-01"},
]
REVIEWS = [
    {
        "review_id": "r1",
        "user_id": "ann",
        "item_id": "tea",
        "rating": 5,
        "text": " 很\n好 ",
        "created_on": "2026-10-30",
    },
    {"review_id": "r2", "user_id": "no", "item_id": "tea", "text": "good", "created_on": "2026-10-30"},
    {"review_id": "r3", "user_id": "bot", "item_id": "tea", "text": "spam", "created_on": "2026-10-30"},
    {"review_id": "r4", "user_id": "ann", "item_id": "gone", "text": "unknown item", "created_on": "2026-10-30"},
    {"review_id": "r5", "user_id": "ann", "item_id": "tea", "text": " ", "created_on": "2026-10-30"},
    {"review_id": "r6", "user_id": "ann", "item_id": "tea", "text": "tomorrow", "created_on": "2026-11-01"},
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> SmallLake:
    lake = SmallLake(tmp_path_factory.mktemp("shop"))
    lake.put("events", EVENTS)
    lake.put("items", ITEMS)
    lake.put(
        "reviews",
        [
            row | {"created_at": f"{row['created_on']}T10:00:00+00:00", "arrived_on": row["created_on"]}
            for row in REVIEWS
        ],
    )
    lake.put(
        "users",
        [
            {"user_id": user, "has_personalization_consent": user != "no", "arrived_on": "2026-10-01"}
            for user in ("ann", "no", "bot")
        ],
    )
    lake.put("bots", [{"user_id": "bot", "arrived_on": "2026-10-20", "rule": "fast", "evidence": "9/s"}])
    lake.build(DAY)
    return lake


def test_active_hours_count_what_a_user_did_by_platform(lake: SmallLake) -> None:
    """The impression is no action, the day of a year ago is over, tomorrow has not come."""
    assert lake.query("from features.features.user_days order by event_date") == [
        ("ann", date(2026, 10, 21), date(2026, 10, 21), 9, "unknown", 1),
        ("ann", date(2026, 10, 31), date(2026, 10, 31), 9, "ios", 2),
    ]


def test_a_usual_price_is_of_the_days_before_the_purchase(lake: SmallLake) -> None:
    """On 10-31 the tea had cost 10 on 28 days and 8 on three; the cup's price is in another currency."""
    assert lake.query("from features.features.usual_prices order by event_date") == [
        ("tea", date(2026, 10, 21), 10.0, 21),
        ("tea", date(2026, 10, 31), 10.0, 31),
    ]


def test_reviews_of_people_and_without_names_where_consent_is_missing(lake: SmallLake) -> None:
    assert lake.query("from features.features.item_reviews order by review_id") == [
        ("r1", "tea", "ann", datetime(2026, 10, 30, 10), 5.0, "很 好"),
        ("r2", "tea", None, datetime(2026, 10, 30, 10), None, "good"),
    ]


def test_a_portrait_is_the_users_features_and_the_profile(lake: SmallLake) -> None:
    profile = {
        "user_id": "ann",
        "taste_segment": "taste-01",
        "price_level": 0.25,
        "next_purchase_expected_on": "2026-11-10",
        "portrait_text": "Likes tea.",
        "portrait_text_zh": "喜欢茶。",
        "model_version": "made-up-1",
    }
    lake.put_output(DAY, "user_profiles", [profile, profile | {"user_id": "gone"}])
    lake.build(DAY, "--select", "user_portraits")
    found = lake.query(
        """
        select user_id, taste_segment, price_level, next_purchase_expected_on, portrait_text_zh, orders_30d,
            churn_probability, model_version
        from features.published.user_portraits
        """
    )
    version = "portrait-rules-1, made-up-1"
    assert found == [("ann", "taste-01", 0.25, date(2026, 11, 10), "喜欢茶。", 2, None, version)]

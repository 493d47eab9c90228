"""A past day rebuilds to the same rows, and only what changed is computed again."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import FEATURES, features_db
from tests.dbt_project.small_lake import SmallLake

DAY = "2026-10-31"
NEXT = "2026-11-01"
MUCH_LATER = "2026-11-20"
USERS = [f"u{number:02}" for number in range(36)]
ITEMS = [f"i{number}" for number in range(8)]
KINDS = [
    "impression",
    "view",
    "view",
    "click",
    "search",
    "cart",
    "favorite",
    "purchase",
    "purchase",
    "return",
    "dismiss",
]

Rows = list[dict[str, Any]]


def some_events(first: date, days: int, per_day: int, arrived: str | None = None, seed: int = 1) -> Rows:
    """Made-up events: some late by a day, some by nobody known, some without a session."""
    chance = random.Random(f"{first} {days} {seed}")  # the same shop on every run
    rows: Rows = []
    for number in range(days * per_day):
        day = first + timedelta(days=number // per_day)
        kind = chance.choice(KINDS)
        user = chance.choice([*USERS, None])
        rows.append(
            {
                "event_id": f"{day}-{seed}-{number}",
                "event_at": f"{day}T{chance.randrange(24):02}:{chance.randrange(60):02}:00+00:00",
                "user_id": user,
                "event_type": kind,
                "item_id": None if kind == "search" else chance.choice(ITEMS),
                "query": f"word {number % 5}" if kind == "search" else None,
                "session_id": chance.choice([f"{user}-{day}-{chance.randrange(2)}", None]),
                "quantity": chance.randrange(1, 4) if kind in ("purchase", "return") else None,
                "unit_price": chance.randrange(1, 90) if kind in ("purchase", "return") else None,
                "currency": chance.choice(["CNY", None]),
                "platform": chance.choice(["web", "ios"]),
                "region": chance.choice(["north", "south"]),
                "event_date": str(day),
                "arrived_on": arrived or str(day + timedelta(days=chance.random() < 0.1)),
            }
        )
    return [row for row in rows if row["arrived_on"] <= (arrived or DAY)]


def some_items(arrived: str, **changes: Any) -> Rows:
    return [
        {
            "item_id": item,
            "title": f"Item {item}",
            "category_path": f"cat{number % 3} > sub",
            "brand": f"brand{number % 2}",
            "price": 10 * (number + 1),
            "arrived_on": arrived,
        }
        | changes
        for number, item in enumerate(ITEMS)
    ]


def some_users(arrived: str, without_consent: set[str]) -> Rows:
    return [
        {
            "user_id": user,
            "region": "north",
            "has_personalization_consent": user not in without_consent,
            "arrived_on": arrived,
        }
        for user in USERS
    ]


def some_reviews(day: str) -> Rows:
    """A review a user, written and handed over on one day."""
    return [
        {
            "review_id": f"{day}-{user}",
            "user_id": user,
            "item_id": ITEMS[number % len(ITEMS)],
            "created_at": f"{day}T10:00:00+00:00",
            "created_on": day,
            "rating": 1 + number % 5,
            "text": f"review {number}",
            "arrived_on": day,
        }
        for number, user in enumerate(USERS)
    ]


#: With a price that fell a week before DAY.
ITEMS_BY_DAY = some_items("2026-09-20", price=99) + some_items("2026-10-24")
CAMPAIGN = {
    "campaign_id": "c1",
    "name": "Week of cat0",
    "starts_on": DAY,
    "ends_on": "2026-11-07",
    "category_paths": "cat0",
    "arrived_on": "2026-10-30",
}
RULE = {
    "rule_id": "r1",
    "action": "block",
    "category_path": "cat1",
    "starts_on": "2026-10-20",
    "arrived_on": "2026-10-19",
}
EVENTS_BY_DAY = some_events(date(2026, 9, 20), days=42, per_day=12)
#: What the files of the next day bring: its own events, and late ones for days already counted.
EVENTS_OF_NEXT = some_events(date(2026, 11, 1), days=1, per_day=40, arrived=NEXT) + some_events(
    date(2026, 10, 28), days=4, per_day=6, arrived=NEXT, seed=2
)


def put_day(lake: SmallLake) -> None:
    """The lake as it stands when the files up to DAY have been cleaned."""
    lake.put("events", EVENTS_BY_DAY)
    lake.put("items", ITEMS_BY_DAY)
    lake.put("campaigns", [CAMPAIGN])
    lake.put("merchandising_rules", [RULE, RULE | {"rule_id": "r2", "ends_on": "2026-10-30"}])
    lake.put("reviews", some_reviews(DAY))
    lake.put("users", some_users("2026-09-20", without_consent={"u05"}))
    lake.put("bots", [{"user_id": "u01", "arrived_on": "2026-10-20", "rule": "fast", "evidence": "9/s"}])
    lake.put("erasure_requests", [{"user_id": "u02", "requested_at": f"{DAY}T08:00:00", "arrived_on": DAY}])


def put_next(lake: SmallLake) -> None:
    """And a day later: everything that could disturb DAY has happened to it."""
    lake.put("events", EVENTS_BY_DAY + EVENTS_OF_NEXT)
    lake.put("items", ITEMS_BY_DAY + some_items(NEXT, price=1, category_path="moved", is_active=False))
    lake.put("reviews", some_reviews(DAY) + some_reviews(NEXT))
    changed = {"action": "boost", "factor": 2.0, "arrived_on": NEXT}
    later = [RULE | changed, RULE | {"rule_id": "r3", "arrived_on": NEXT}]
    lake.put("merchandising_rules", [RULE, RULE | {"rule_id": "r2", "ends_on": "2026-10-30"}, *later])
    lake.put("campaigns", [CAMPAIGN, CAMPAIGN | {"name": "Cancelled", "ends_on": DAY, "arrived_on": NEXT}])
    lake.put("users", some_users("2026-09-20", {"u05"}) + some_users(NEXT, {"u06", "u07"}))
    lake.put(
        "bots",
        [
            {"user_id": "u01", "arrived_on": "2026-10-20", "rule": "fast", "evidence": "9/s"},
            {"user_id": "u01", "arrived_on": NEXT, "rule": "fast", "evidence": "12/s"},
            {"user_id": "u03", "arrived_on": NEXT, "rule": "fast", "evidence": "20/s"},
        ],
    )
    lake.put(
        "erasure_requests",
        [
            {"user_id": "u02", "requested_at": f"{DAY}T08:00:00", "arrived_on": DAY},
            {"user_id": "u04", "requested_at": f"{NEXT}T08:00:00", "arrived_on": NEXT},
        ],
    )


def features(lake: SmallLake) -> dict[str, list[tuple[Any, ...]]]:
    """Every feature table as it stands, but the one that is meant to look later."""
    return {
        table: lake.query(f"select * from features.features.{table} order by all")
        for table in FEATURES
        if table != "later_purchases"
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """DAY built, then the day after, then DAY again, in one file; and DAY built late in a file of its own."""
    lake = SmallLake(tmp_path_factory.mktemp("shop"))
    put_day(lake)
    lake.build(DAY)
    first = features(lake)
    quiet = lake.copy(tmp_path_factory.mktemp("quiet") / "lake")
    quiet.build(MUCH_LATER, "--select", "tag:features", "--exclude-resource-type", "unit_test")
    put_next(lake)
    lake.build(NEXT)
    after = features(lake)
    lake.build(DAY)
    fresh = SmallLake(tmp_path_factory.mktemp("fresh"))
    put_next(fresh)
    fresh.build(DAY)
    return {
        "lake": lake, "first": first, "next": after, "again": features(lake), "fresh": features(fresh),
        "quiet": features(quiet),
    }  # fmt: skip


@pytest.mark.parametrize("table", [t for t in FEATURES if t != "later_purchases"])
def test_a_past_day_rebuilds_to_the_same_rows(built: dict[str, Any], table: str) -> None:
    assert built["first"][table], f"{table} is empty: the comparison would say nothing"
    assert built["next"][table] != built["first"][table], (
        "the next day changed nothing: nothing is put to the test"
    )
    assert built["again"][table] == built["first"][table]
    assert built["fresh"][table] == built["first"][table]


#: What the calendar moves, whether anybody acts or not: campaigns begin and end, and a day is further away.
CALENDAR_TABLES = ("later_purchases", "active_campaigns")
CALENDAR_COLUMNS = ("days_since_last_purchase",)


@pytest.mark.parametrize("table", [t for t in FEATURES if t not in CALENDAR_TABLES])
def test_twenty_days_of_silence_move_no_window_and_fade_nothing(built: dict[str, Any], table: str) -> None:
    kept = [n for n, column in enumerate(FEATURES[table].columns) if column.name not in CALENDAR_COLUMNS]

    def rows(of: str) -> list[str]:
        return sorted(repr([row[n] for n in kept]) for row in built[of][table])

    assert rows("quiet") == rows("first")


def test_later_purchases_are_those_of_the_days_after(built: dict[str, Any]) -> None:
    users = {row[0] for row in built["first"]["user_features"]}
    wanted = {
        row["event_id"]
        for row in EVENTS_OF_NEXT
        if row["event_type"] == "purchase" and row["event_date"] == NEXT and row["user_id"] in users
    }
    assert wanted
    found = built["lake"].query("select event_id from features.features.later_purchases")
    assert {event for (event,) in found} == wanted


def test_users_are_those_known_on_the_day(built: dict[str, Any]) -> None:
    """The bot, the erased and the one without consent as of the day; not those of the day after."""
    assert [row[0] for row in built["again"]["user_features"]] == [
        u for u in USERS if u not in ("u01", "u02", "u05")
    ]
    assert [row[0] for row in built["next"]["user_features"]] == [
        u for u in USERS if u not in ("u01", "u02", "u03", "u04", "u06", "u07")
    ]


def spoil(lake: SmallLake, day: str) -> None:
    """Give the kept rows of a day numbers that no computation would."""
    with duckdb.connect(str(features_db(lake.path))) as connection:
        connection.execute(
            f"update features.intermediate.int_user_days set actions = 1000 where event_date = date '{day}'"
        )


def build_daily(lake: SmallLake, **more: str) -> None:
    lake.build(DAY, "--select", "+path:models/intermediate/daily", "--exclude-resource-type", "unit_test", **more)


def test_only_changed_days_are_computed_again(built: dict[str, Any], tmp_path: Path) -> None:
    lake = built["lake"].copy(tmp_path / "kept")
    spoil(lake, "2026-10-10")  # unchanged: stays spoilt
    spoil(lake, "2026-10-11")  # loses a row
    # 2026-10-12 is taken away whole
    lost = "2026-10-11-1-253"
    events = [row for row in EVENTS_BY_DAY if row["event_date"] != "2026-10-12" and row["event_id"] != lost]
    assert len([row for row in EVENTS_BY_DAY if row["event_id"] == lost]) == 1
    lake.put("events", events)

    def actions(day: str) -> list[Any]:
        sql = f"select actions from features.intermediate.int_user_days where event_date = date '{day}'"
        return [count for (count,) in lake.query(sql)]

    build_daily(lake)
    assert set(actions("2026-10-10")) == {1000}
    wanted = [
        row
        for row in events
        if row["event_date"] == "2026-10-11" and row["user_id"] and row["event_type"] != "impression"
    ]
    assert sum(actions("2026-10-11")) == len(wanted) > 0
    assert actions("2026-10-12") == []

    build_daily(lake, full_refresh_features="true")
    assert max(actions("2026-10-10")) < 1000


def test_another_currency_makes_every_kept_day_stale(built: dict[str, Any], tmp_path: Path) -> None:
    """Money is kept in the shop's currency, so a changed one must not leave the old figures standing."""
    lake = built["lake"].copy(tmp_path / "kept")
    bought = (
        "select sum(bought_amount) from features.intermediate.int_user_order_days "
        f"where event_date <= date '{DAY}'"
    )
    purchases = [
        row
        for row in EVENTS_BY_DAY + EVENTS_OF_NEXT
        if row["event_type"] == "purchase" and row["user_id"] and row["event_date"] <= DAY
    ]
    everything = sum(row["quantity"] * row["unit_price"] for row in purchases)
    without_currency = sum(row["quantity"] * row["unit_price"] for row in purchases if row["currency"] is None)
    assert 0 < without_currency < everything

    assert lake.query(bought) == [(everything,)]
    build_daily(lake, currency="USD")
    assert lake.query(bought) == [(without_currency,)]

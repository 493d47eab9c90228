"""Features and published tables of a shop small enough to reckon by hand."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256
from math import exp
from typing import Any

import pytest

from expectations.tables import FEATURES, OUTPUTS, PUBLISHED
from tests.dbt_project.small_lake import GENERATED_AT, SmallLake

DAY = "2026-10-31"
TYPES = {
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "double": "DOUBLE",
}


def event(number: int, day: str, user: str | None, kind: str, item: str | None, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_at": f"{day}T09:00:00+00:00",
        "user_id": user,
        "event_type": kind,
        "item_id": item,
        "event_date": day,
        "arrived_on": day,
    } | more


#: Two feeds only: the shop has no users, no bots, no campaigns.
EVENTS = [
    event(1, "2026-10-31", "ann", "purchase", "tea", quantity="2.000", unit_price="10.0000", session_id="s1"),
    event(2, "2026-10-31", "ann", "purchase", "cup", quantity="1.000", unit_price="20.0000", session_id="s1"),
    event(3, "2026-10-24", "ann", "purchase", "tea", quantity="1.000", unit_price="10.0000", session_id="s0"),
    event(4, "2026-10-30", "ann", "return", "tea", quantity="1.000", unit_price="10.0000"),
    event(5, "2026-10-30", "ann", "view", "pot", event_at="2026-10-30T21:30:00+08:00", platform="ios"),
    event(6, "2026-10-30", "ann", "search", None, query="tea"),
    event(7, "2026-10-30", "ann", "impression", "pot"),
    event(8, "2026-10-31", "bob", "view", "pot"),
    event(9, "2026-10-31", None, "purchase", "tea", quantity="5.000", unit_price="10.0000"),
    event(10, "2026-10-31", "cid", "impression", "pot"),
    event(11, "2026-11-03", "bob", "purchase", "pot", quantity="1.000", unit_price="90.0000"),
    event(12, "2026-11-08", "bob", "purchase", "pot", quantity="1.000", unit_price="90.0000"),
    event(13, "2026-11-07", "bob", "purchase", "pot", arrived_on="2026-11-08"),
]
ITEMS: list[dict[str, Any]] = [
    {"item_id": "tea", "title": "茶", "category_path": "food > tea", "brand": "Hu", "price": "10.0000"},
    {"item_id": "cup", "title": "Cup", "category_path": "home > cups", "brand": "Hu", "price": "20.0000"},
    {"item_id": "pot", "title": "Pot", "category_path": "home > pots", "price": "90.0000", "description": "Iron."},
    {"item_id": "old", "title": "Old", "price": "5.0000", "is_active": False},
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> SmallLake:
    """The shop with its features built, unit tests and all."""
    lake = SmallLake(tmp_path_factory.mktemp("shop"))
    lake.put("events", EVENTS)
    lake.put("items", [item | {"arrived_on": "2026-10-01"} for item in ITEMS])
    lake.build(DAY, "--select", "tag:features")
    return lake


def rows(lake: SmallLake, table: str, key: str) -> dict[Any, dict[str, Any]]:
    """A feature table's rows by key."""
    names = [column.name for column in FEATURES[table].columns]
    found = [dict(zip(names, row, strict=True)) for row in lake.query(f"from features.features.{table}")]
    return {row[key]: row for row in found}


def part(row: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in wanted}


def test_every_unit_test_of_the_project_ran(lake: SmallLake) -> None:
    results = json.loads((lake.path / "dbt_target" / "run_results.json").read_text())["results"]
    manifest = json.loads((lake.path / "dbt_target" / "manifest.json").read_text())
    ran = {r["unique_id"]: r["status"] for r in results if r["unique_id"].startswith("unit_test.")}
    assert set(ran) == set(manifest["unit_tests"])
    assert set(ran.values()) == {"pass"}
    assert len(ran) >= 15


def test_a_user(lake: SmallLake) -> None:
    ann = rows(lake, "user_features", "user_id")["ann"]
    wanted = {
        "first_seen_on": datetime(2026, 10, 24).date(),
        "last_seen_on": datetime(2026, 10, 31).date(),
        "days_since_last_purchase": 0,
        "orders_7d": 1,
        "orders_30d": 2,
        "orders_total": 2,
        "amount_spent_7d": 30.0,  # 2 x 10 + 20, less the tea that came back
        "amount_spent_30d": 40.0,
        "amount_spent_total": 40.0,
        "average_order_value": 25.0,  # 50 of purchases in 2 orders
        "actions_90d": 6,  # the search is one, the impression none
        "favorite_category": "food",  # two purchases of tea (10) against a cup (5) and a view (1)
        "favorite_brand": "Hu",
        "price_band": "low",  # 10, 10, 20: the middle one is 10, and the catalogue's prices on sale are 10, 20, 90
        "active_hour": 9,
        "platform": "ios",
        "lifecycle_stage": "new",
        "segment": "big_spenders",  # the only one who spent is the top fifth
        "is_cold_start": False,
    }
    assert part(ann, wanted) == wanted
    assert ann["confidence"] == pytest.approx(1 - exp(-6 / 20))


def test_users_without_purchase_and_without_action(lake: SmallLake) -> None:
    users = rows(lake, "user_features", "user_id")
    assert sorted(users) == ["ann", "bob"]  # cid was only shown things; nobody is not a user
    wanted = {
        "days_since_last_purchase": None,
        "orders_365d": 0,
        "amount_spent_365d": 0.0,
        "average_order_value": None,
        "lifecycle_stage": "visitor",
        "segment": "newcomers",
        "is_cold_start": True,
    }
    assert part(users["bob"], wanted) == wanted


def test_items(lake: SmallLake) -> None:
    items = rows(lake, "item_features", "item_id")
    assert sorted(items) == ["cup", "old", "pot", "tea"]
    tea = {
        "category": "food",
        "price": 10.0,
        "price_band": "low",
        "is_active": True,
        "created_on": datetime(2026, 10, 1).date(),
        "item_text": "茶. Hu. food > tea",
        "text_hash": sha256("茶. Hu. food > tea".encode()).hexdigest(),
        "purchases_7d": 2,  # one of them by nobody known
        "purchases_30d": 3,
        "buyers_90d": 1,
        "return_rate": 0.125,  # 1 of 8 pieces
        "is_cold_start": True,
    }
    assert part(items["tea"], tea) == tea
    assert items["tea"]["popularity"] == pytest.approx(5 + 5 + 5 * 0.5 ** (7 / 14), abs=1e-6)
    assert (items["pot"]["views_7d"], items["pot"]["price_band"]) == (2, "high")
    assert (items["old"]["is_active"], items["old"]["popularity"]) == (False, 0.0)


def test_a_search_is_told_with_what_was_chosen_after_it(lake: SmallLake) -> None:
    """Without sessions the day is one: the pot was viewed later on it; the return of tea chooses nothing."""
    searches = rows(lake, "user_searches", "event_id")
    assert set(searches) == {"e6"}
    wanted = {
        "user_id": "ann",
        "query": "tea",
        "chosen_item_id": "pot",
        "choice": "view",
        "chosen_at": datetime(2026, 10, 30, 13, 30),
    }
    assert part(searches["e6"], wanted) == wanted


def test_actions_are_those_of_known_users_on_known_items(lake: SmallLake) -> None:
    actions = rows(lake, "user_actions", "event_id")
    assert sorted(actions) == ["e1", "e2", "e3", "e4", "e5", "e8"]
    assert (actions["e1"]["quantity"], actions["e1"]["amount"]) == (2.0, 20.0)
    assert actions["e5"]["event_at"] == datetime(2026, 10, 30, 13, 30)  # UTC


def test_later_purchases_end_seven_days_after(lake: SmallLake) -> None:
    """Not the one of the eighth day, nor the one that had not arrived by the seventh."""
    assert sorted(rows(lake, "later_purchases", "event_id")) == ["e11"]


def test_segment_lists_hold_every_active_item_that_anyone_acted_on(lake: SmallLake) -> None:
    found = lake.query(
        "select segment, list(item_id order by rank) from features.features.segment_items group by all"
    )
    assert dict(found)["all"] == ["tea", "cup", "pot"]
    assert {segment: sorted(items) for segment, items in found} == {
        segment: ["cup", "pot", "tea"] for segment in ("all", "big_spenders", "newcomers")
    }
    assert dict(found)["newcomers"][0] == "tea", "one view of bob's does not outweigh everyone"


def column_types(lake: SmallLake, schema: str, table: str) -> list[tuple[str, str]]:
    return lake.query(
        "select column_name, data_type from duckdb_columns() "
        f"where schema_name = '{schema}' and table_name = '{table}' order by column_index"
    )


@pytest.mark.parametrize("table", FEATURES)
def test_feature_tables_have_the_contracts_columns(lake: SmallLake, table: str) -> None:
    assert column_types(lake, "features", table) == [(c.name, TYPES[c.type]) for c in FEATURES[table].columns]


@pytest.fixture(scope="module")
def published(lake: SmallLake) -> SmallLake:
    """The same shop with what models would have written, and the published tables built from it."""
    recommendation = {
        "surface": "home",
        "score": 1.5,
        "probability": 0.25,
        "candidate_source": "popular_in_segment",
        "reason_code": "popular",
        "reason_text": "Popular",
        "reason_text_zh": "热门",
        "evidence_type": "segment",
        "evidence_id": "all",
        "contribution": 1.5,
        "is_exploration": False,
        "is_promoted": False,
        "propensity": 1.0,
        "model_version": "made-up-1",
    }
    lake.put_output(
        DAY,
        "home_recommendations",
        [
            recommendation | {"user_id": user, "rank": rank, "item_id": item, "recommendation_id": f"{user}{rank}"}
            for user in ("bob", "ann")
            for rank, item in enumerate(("tea", "cup"), start=1)
        ],
    )
    similar = {"score": 0.5, "reason_code": "similar_text", "model_version": "made-up-1"}
    lake.put_output(DAY, "similar_items", [similar | {"item_id": "old", "rank": 1, "similar_item_id": "tea"}])
    lake.put_output(DAY, "model_metrics", [])
    profile = {"taste_segment": "t1", "next_purchase_expected_on": "2026-11-07", "model_version": "made-up-1"}
    texts = {"portrait_text": "Likes tea.", "portrait_text_zh": "喜欢茶。"}
    lake.put_output(DAY, "user_profiles", [profile | texts | {"user_id": user} for user in ("ann", "bob")])
    portraits = ("user_traits", "taste_segments", "item_portraits")
    for table in (*portraits, "recommendation_explanations", "recommendation_filters", "homepage_layouts"):
        lake.put_output(DAY, table, [])
    lake.build(DAY, "--select", "tag:published", run_id="o'clock", generated_at="2026-11-01T03:00:00+01:00")
    return lake


@pytest.mark.parametrize("table", [table for table in PUBLISHED if table != "data_quality_results"])
def test_published_tables_have_the_contracts_columns(published: SmallLake, table: str) -> None:
    assert column_types(published, "published", table) == [
        (c.name, TYPES[c.type]) for c in PUBLISHED[table].columns
    ]


def test_published_rows_tell_where_they_come_from(published: SmallLake) -> None:
    run = [(datetime(2026, 10, 31).date(), "o'clock", datetime(2026, 11, 1, 2))]
    versions = {
        "user_portraits": "portrait-rules-1, made-up-1",
        "hot_items": "hot-items-rules-1",
        "home_recommendations": "made-up-1",
        "similar_items": "made-up-1",
    }
    for table, version in versions.items():
        source = f"features.published.{table}"
        assert published.query(f"select distinct as_of_date, run_id, generated_at from {source}") == run
        assert published.query(f"select distinct model_version from {source}") == [(version,)]


def test_portraits_are_the_users_features(published: SmallLake) -> None:
    shared = "user_id, segment, orders_90d, amount_spent_90d, confidence"
    assert published.query(f"select {shared} from features.published.user_portraits") == published.query(
        f"select {shared} from features.features.user_features"
    )
    counts = "select count(churn_probability), count(portrait_text) from features.published.user_portraits"
    assert published.query(counts) == [(0, 2)], "no model of churn yet"


def test_recommendations_come_sorted(published: SmallLake) -> None:
    found = published.query("select user_id, rank, item_id from features.published.home_recommendations")
    assert found == [("ann", 1, "tea"), ("ann", 2, "cup"), ("bob", 1, "tea"), ("bob", 2, "cup")]
    assert {column.name for column in OUTPUTS["home_recommendations"].columns} < {
        name for name, _ in column_types(published, "published", "home_recommendations")
    }


def test_a_list_with_an_item_that_cannot_be_bought_is_refused(published: SmallLake) -> None:
    similar = {"item_id": "tea", "rank": 1, "similar_item_id": "old", "score": 1.0, "reason_code": "similar_text"}
    published.put_output(DAY, "similar_items", [similar | {"model_version": "made-up-1"}])
    code, output = published.dbt(
        DAY, "build", "--select", "similar_items", "home_recommendations", "user_portraits"
    )
    assert code != 0
    assert "Failure in test recommended_items_are_active" in output


def test_another_days_features_are_not_published(lake: SmallLake) -> None:
    code, output = lake.dbt("2026-11-01", "build", "--select", "tag:published")
    assert code != 0
    assert "the features are those of 2026-10-31: build tag:features for 2026-11-01 first" in output
    assert "outputs/as_of_date=2026-11-01/home_recommendations.parquet is not there" in output


def test_a_day_that_is_none_is_named(lake: SmallLake) -> None:
    code, output = lake.dbt("31.10.2026", "parse")
    assert code != 0
    assert "as_of_date is 31.10.2026: give a day such as 2026-10-31" in output


def test_docs_are_one_page_that_needs_no_network(published: SmallLake) -> None:
    code, output = published.dbt(DAY, "docs", "generate", "--static", generated_at=GENERATED_AT)
    assert code == 0, output
    page = (published.path / "dbt_target" / "static_index.html").read_text()
    assert "What the system thinks of a user" in page

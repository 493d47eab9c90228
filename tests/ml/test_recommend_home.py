"""The step on a small shop: full lists, no forbidden items, the same rows again."""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from expectations.tables import OUTPUTS, outputs_dir
from ml.explain.checker import check_reasons
from ml.recommender import recommend as recommend_module
from ml.recommender.recommend_home import recommend_home
from ml.rerank import reranker as reranker_module
from ml.text_encoder import store
from qianmian.step import StepError
from tests.ml.conftest import AS_OF, action, build_features, item, lively_shop, step_args, user


def read(lake, table, day=AS_OF):
    return pq.read_table(outputs_dir(lake, day.isoformat()) / f"{table}.parquet")


@pytest.fixture(scope="module")
def shop():
    return lively_shop()


@pytest.fixture
def lake(lake_of, shop):
    return lake_of(**shop)


def test_every_user_gets_twenty_different_active_items(lake, shop):
    recommend_home(step_args(lake))
    rows = read(lake, "home_recommendations").to_pylist()
    active = {row["item_id"] for row in shop["item_features"] if row["is_active"]}
    lists: dict[str, list[str]] = {}
    for row in rows:
        lists.setdefault(row["user_id"], []).append(row["item_id"])
    assert set(lists) == {row["user_id"] for row in shop["user_features"]}
    assert {len(listed) for listed in lists.values()} == {20}
    assert all(len(set(listed)) == 20 and set(listed) <= active for listed in lists.values())


def test_columns_are_the_contract_and_rows_are_sorted(lake):
    recommend_home(step_args(lake))
    names = ("home_recommendations", "similar_items", "recommendation_filters", "recommendation_explanations")
    for name in names:
        table = read(lake, name)
        assert table.column_names == [*OUTPUTS[name].column_names, "model_version"]
        keys = [tuple(row[k] for k in OUTPUTS[name].key) for row in table.to_pylist()]
        # Explanations follow the lists; their ids have no order.
        assert keys == sorted(keys) or name == "recommendation_explanations"
        assert len(set(keys)) == len(keys) > 0
        for column in OUTPUTS[name].required:
            assert table[column].null_count == 0, column


def test_within_a_user_the_probability_falls_with_the_score(lake):
    recommend_home(step_args(lake))
    rows = read(lake, "home_recommendations").to_pylist()
    before = None
    for row in sorted(rows, key=lambda row: (row["user_id"], -row["score"], -row["probability"])):
        assert 0 < row["probability"] < 1
        assert row["contribution"] > 0
        if before is not None and before["user_id"] == row["user_id"]:
            assert row["probability"] <= before["probability"]
        before = row


def test_a_rule_of_the_shop_goes_all_the_way_to_the_tables(lake_of, shop):
    rules = [
        {"rule_id": "no-1", "action": "block", "item_id": "i001"},
        {"rule_id": "first", "action": "pin", "item_id": "i035", "position": 2, "surface": "home"},
    ]
    lake = lake_of(**shop, active_rules=rules)
    report = recommend_home(step_args(lake))
    assert report["shop_rules"] == 2
    rows = read(lake, "home_recommendations").to_pylist()
    assert "i001" not in {row["item_id"] for row in rows}
    # Few buy a thing again here: who has it already is not shown it, pinned or not.
    have_it = {
        a["user_id"] for a in shop["user_actions"] if a["event_type"] == "purchase" and a["item_id"] == "i035"
    }
    second = {row["user_id"]: row["item_id"] for row in rows if row["rank"] == 2}
    assert {user for user, item_id in second.items() if item_id == "i035"} == set(second) - have_it
    assert have_it
    told = [row for row in read(lake, "recommendation_filters").to_pylist() if row["rule_id"] is not None]
    assert {(row["rule"], row["rule_id"], row["item_id"]) for row in told} == {
        ("blocked", "no-1", "i001"), ("pinned", "first", "i035"),
    }  # fmt: skip
    assert {row["rank_after"] for row in told if row["rule"] == "pinned"} == {2}
    assert check_reasons(step_args(lake))["at_fault"] == 0


def test_impressions_without_an_answer_make_an_item_step_back(lake_of, shop):
    recommend_home(step_args(lake_of(**shop)))
    lake = lake_of(**shop)
    first = {r["user_id"]: r["item_id"] for r in read(lake, "home_recommendations").to_pylist() if r["rank"] == 1}
    shown = [{"user_id": "u000", "item_id": first["u000"], "impressions_14d": 30, "last_shown_on": AS_OF}]
    lake = lake_of(**shop, user_impressions=shown)
    recommend_home(step_args(lake))
    again = {r["user_id"]: r["item_id"] for r in read(lake, "home_recommendations").to_pylist() if r["rank"] == 1}
    assert [user for user in first if first[user] != again[user]] == ["u000"]
    told = [r for r in read(lake, "recommendation_filters").to_pylist() if r["rule"] == "seen_too_often"]
    assert [(r["user_id"], r["item_id"], r["rank_before"]) for r in told] == [("u000", first["u000"], 1)]


def test_the_parts_add_up_and_the_reason_is_the_first_evidence(lake):
    recommend_home(step_args(lake))
    shown = {row["recommendation_id"]: row for row in read(lake, "home_recommendations").to_pylist()}
    parts: dict[str, float] = Counter()
    pieces: dict[str, int] = Counter()
    for row in read(lake, "recommendation_explanations").to_pylist():
        of = shown[row["recommendation_id"]]
        if row["kind"] == "part":
            parts[row["recommendation_id"]] += row["contribution"]
            continue
        pieces[row["recommendation_id"]] += 1
        if row["reason_rank"] == 1:
            for column in ("reason_code", "evidence_type", "evidence_id", "contribution"):
                assert row[column] == of[column]
    assert {name: row["score"] for name, row in shown.items()} == pytest.approx(dict(parts), abs=1e-6)
    assert set(pieces) == set(shown)
    assert max(pieces.values()) == 3


def test_a_user_without_actions_gets_the_popular(lake):
    recommend_home(step_args(lake))
    rows = [r for r in read(lake, "home_recommendations").to_pylist() if r["user_id"] == "cold"]
    assert rows[0]["item_id"] == "i000"
    assert {"i001", "i002"} <= {r["item_id"] for r in rows}
    assert {r["candidate_source"] for r in rows} == {"popular_in_segment"}
    assert {(r["reason_code"], r["evidence_type"], r["evidence_id"]) for r in rows} == {
        ("popular", "segment", "all")
    }


def test_reasons_point_to_the_users_own_actions(lake, shop):
    recommend_home(step_args(lake))
    acted = {(a["user_id"], a["item_id"]) for a in shop["user_actions"]}
    rows = read(lake, "home_recommendations").to_pylist()
    by_item = [r for r in rows if r["evidence_type"] == "item"]
    assert len(by_item) > len(rows) / 4
    assert all((r["user_id"], r["evidence_id"]) in acted for r in by_item)


def test_again_gives_the_same_bytes(lake):
    recommend_home(step_args(lake))
    folder = outputs_dir(lake, AS_OF.isoformat())
    first = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    assert len(first) == 4
    recommend_home(step_args(lake))
    assert {path.name: path.read_bytes() for path in folder.glob("*.parquet")} == first
    assert [p.name for p in folder.glob(".*")] == []


def test_shards_change_nothing(lake, monkeypatch):
    recommend_home(step_args(lake))
    tables = ("home_recommendations", "recommendation_explanations", "recommendation_filters")
    whole = [read(lake, name) for name in tables]
    monkeypatch.setattr(recommend_module, "SHARD_CELLS", 300)
    monkeypatch.setattr(reranker_module, "BLOCK_USERS", 3)
    recommend_home(step_args(lake))
    assert [read(lake, name) for name in tables] == whole


def test_dismissed_items_do_not_come_back(lake_of, shop):
    dismissed = [action("u000", f"i00{n}", "dismiss", days_ago=1) for n in range(5)]
    lake = lake_of(**{**shop, "user_actions": [*shop["user_actions"], *dismissed]})
    recommend_home(step_args(lake))
    listed = Counter(
        r["item_id"] for r in read(lake, "home_recommendations").to_pylist() if r["user_id"] == "u000"
    )
    assert not {a["item_id"] for a in dismissed} & set(listed)


def test_later_purchases_change_nothing(lake_of, shop):
    recommend_home(step_args(lake_of(**shop)))
    lake = lake_of(**{**shop, "later_purchases": []})
    with_them = read(lake, "home_recommendations")
    recommend_home(step_args(lake))
    assert read(lake, "home_recommendations").equals(with_them)


def test_a_shop_of_three_items_lists_three(lake_of):
    lake = lake_of(
        item_features=[item("a"), item("b"), item("c"), item("gone", is_active=False)],
        user_features=[user("u1"), user("u2")],
        user_actions=[action("u1", "a", "view"), action("u1", "gone", "view")],
    )
    report = recommend_home(step_args(lake))
    assert report["home_recommendations"] == 6
    assert {r["item_id"] for r in read(lake, "home_recommendations").to_pylist()} == {"a", "b", "c"}


def test_a_shop_without_users_writes_no_rows(lake_of):
    report = recommend_home(step_args(lake_of(item_features=[item("a")])))
    assert report["home_recommendations"] == 0
    assert read(lake_of(item_features=[item("a")]), "home_recommendations").num_rows == 0


def test_a_shop_without_active_items_is_an_error(lake_of):
    with pytest.raises(StepError, match="no active item"):
        recommend_home(step_args(lake_of(item_features=[item("a", is_active=False)])))


def test_no_features_is_an_error_that_says_what_to_run(tmp_path):
    from ml.recommender.dataset import connect

    with pytest.raises(StepError, match="is not there") as error:
        connect(tmp_path)
    assert "dbt build" in error.value.remedy
    build_features(tmp_path)


def test_a_week_of_silence_changes_no_list(lake):
    """The shop's last day is the last on which anybody acted: nothing is a week older."""
    recommend_home(step_args(lake))
    later = AS_OF + timedelta(days=7)
    store.choose_version(lake, later.isoformat(), "test-1")
    recommend_home(argparse.Namespace(**{**vars(step_args(lake)), "as_of": later.isoformat()}))
    for name in ("home_recommendations", "similar_items", "recommendation_filters"):
        first, again = read(lake, name), read(lake, name, later)
        named = [column for column in first.column_names if column != "recommendation_id"]
        assert first.select(named).equals(again.select(named)), name

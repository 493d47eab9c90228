"""The step on a small shop: full lists, no forbidden items, the same rows again."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest

from expectations.tables import OUTPUTS, outputs_dir
from ml.recommender import recommend as recommend_module
from ml.recommender.recommend_home import recommend_home
from qianmian.step import StepError
from tests.ml.conftest import AS_OF, action, build_features, item, lively_shop, step_args, user


def read(lake, table):
    return pq.read_table(outputs_dir(lake, AS_OF.isoformat()) / f"{table}.parquet")


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
    for name in ("home_recommendations", "similar_items"):
        table = read(lake, name)
        assert table.column_names == [*OUTPUTS[name].column_names, "model_version"]
        keys = [tuple(row[k] for k in OUTPUTS[name].key) for row in table.to_pylist()]
        assert keys == sorted(keys)
        assert len(set(keys)) == len(keys) > 0
        for column in OUTPUTS[name].required:
            assert table[column].null_count == 0, column


def test_within_a_user_score_and_probability_fall(lake):
    recommend_home(step_args(lake))
    before = None
    for row in read(lake, "home_recommendations").to_pylist():
        assert 0 < row["probability"] < 1
        assert row["contribution"] > 0
        if before is not None and before["user_id"] == row["user_id"]:
            assert row["score"] <= before["score"]
            assert row["probability"] <= before["probability"]
        before = row


def test_a_user_without_actions_gets_the_popular(lake):
    recommend_home(step_args(lake))
    rows = [r for r in read(lake, "home_recommendations").to_pylist() if r["user_id"] == "cold"]
    assert [r["item_id"] for r in rows[:3]] == ["i000", "i001", "i002"]
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
    path = outputs_dir(lake, AS_OF.isoformat()) / "home_recommendations.parquet"
    first = path.read_bytes()
    recommend_home(step_args(lake))
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.glob(".*")] == []


def test_shards_change_nothing(lake, monkeypatch):
    recommend_home(step_args(lake))
    whole = read(lake, "home_recommendations")
    monkeypatch.setattr(recommend_module, "SHARD_CELLS", 300)
    recommend_home(step_args(lake))
    assert read(lake, "home_recommendations").equals(whole)


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

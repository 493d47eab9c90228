"""model_metrics by both protocols."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow.parquet as pq
import pytest

from expectations.tables import OUTPUTS, outputs_dir
from ml.recommender.evaluate_home import evaluate_home, slices
from ml.recommender.recommend_home import recommend_home
from ml.text_encoder import neighbours
from qianmian.step import StepError
from tests.ml.conftest import AS_OF, lively_shop, step_args


def metrics(lake):
    return pq.read_table(outputs_dir(lake, AS_OF.isoformat()) / "model_metrics.parquet")


def of_lists(lake):
    """The rows that are about lists: not how well like texts are found."""
    return [row for row in metrics(lake).to_pylist() if row["protocol"] != "neighbours"]


@pytest.fixture(scope="module")
def shop():
    return lively_shop()


def test_lists_are_held_against_the_days_after(lake_of, shop):
    lake = lake_of(**shop)
    recommend_home(step_args(lake))
    evaluate_home(step_args(lake))
    table = metrics(lake)
    assert table.column_names == [*OUTPUTS["model_metrics"].column_names, "model_version"]
    rows = of_lists(lake)
    assert {r["protocol"] for r in rows} == {"days_after"}
    assert {(r["measured_from"], r["measured_to"]) for r in rows} == {(date(2026, 11, 1), date(2026, 11, 7))}
    lists: dict[str, list[str]] = {}
    for row in pq.read_table(outputs_dir(lake, AS_OF.isoformat()) / "home_recommendations.parquet").to_pylist():
        lists.setdefault(row["user_id"], []).append(row["item_id"])
    bought: dict[str, set[str]] = {}
    for row in shop["later_purchases"]:
        bought.setdefault(row["user_id"], set()).add(row["item_id"])
    expected = np.mean([len(set(lists[u][:10]) & items) / len(items) for u, items in bought.items()])
    recall = next(r for r in rows if (r["segment"], r["metric"], r["k"]) == ("all", "recall", 10))
    assert recall["value"] == pytest.approx(expected, abs=1e-6)
    assert recall["users"] == len(bought)
    assert recall["value_low"] <= recall["value"] <= recall["value_high"]


def test_without_later_days_the_last_week_is_held_out(lake_of, shop):
    lake = lake_of(**{**shop, "later_purchases": []})
    recommend_home(step_args(lake))
    evaluate_home(step_args(lake))
    rows = of_lists(lake)
    assert {r["protocol"] for r in rows} == {"held_out"}
    assert {(r["measured_from"], r["measured_to"]) for r in rows} == {(date(2026, 10, 25), date(2026, 10, 31))}
    buyers = {
        a["user_id"]
        for a in shop["user_actions"]
        if a["event_type"] == "purchase" and a["event_date"] >= date(2026, 10, 25)
    }
    ndcg = next(r for r in rows if (r["segment"], r["metric"], r["k"]) == ("all", "ndcg", 10))
    assert ndcg["users"] == len(buyers)
    # The shop's users walk along their half of the catalogue: order tells more than popularity does.
    assert ndcg["value"] > 1.2 * ndcg["baseline_value"]


def test_held_out_days_are_not_learned_from(lake_of, shop):
    """What is bought in the measured week may change what is measured, never the lists that are."""
    lake = lake_of(**{**shop, "later_purchases": []})
    evaluate_home(step_args(lake))
    coverage = [
        r["value"] for r in metrics(lake).to_pylist() if (r["segment"], r["metric"]) == ("all", "coverage")
    ]
    swapped = [
        {**a, "item_id": "i000"} if a["event_date"] >= date(2026, 10, 25) and a["event_type"] == "purchase" else a
        for a in shop["user_actions"]
    ]
    lake = lake_of(**{**shop, "later_purchases": [], "user_actions": swapped})
    evaluate_home(step_args(lake))
    again = [r["value"] for r in metrics(lake).to_pylist() if (r["segment"], r["metric"]) == ("all", "coverage")]
    assert again == coverage


def test_nothing_bought_is_said_and_writes_no_rows(lake_of, shop):
    views = [a for a in shop["user_actions"] if a["event_type"] == "view"]
    lake = lake_of(**{**shop, "later_purchases": [], "user_actions": views})
    report = evaluate_home(step_args(lake))
    assert "nothing to measure" in report["note"]
    assert of_lists(lake) == []


def test_the_recall_of_the_search_for_like_texts_is_told(lake_of, shop, monkeypatch):
    lake = lake_of(**{**shop, "later_purchases": []})
    report = evaluate_home(step_args(lake))
    [exact] = [row for row in metrics(lake).to_pylist() if row["protocol"] == "neighbours"]
    assert (exact["model"], exact["metric"], exact["k"]) == ("test-1", "neighbour_recall", 200)
    assert [exact[name] for name in ("value", "value_low", "value_high", "baseline_value")] == [1.0] * 4
    assert exact["users"] == len(shop["item_features"])
    assert exact["measured_from"] == exact["measured_to"] == AS_OF
    assert report["neighbour_recall"] == 1.0
    # Past what is compared one by one, the sample's figures stand there.
    monkeypatch.setattr(neighbours, "is_exact", lambda *_: False)
    monkeypatch.setattr(neighbours, "index_recall", lambda *_: np.array([1.0] * 30 + [0.5] * 10))
    evaluate_home(step_args(lake))
    [row] = [row for row in metrics(lake).to_pylist() if row["protocol"] == "neighbours"]
    assert (row["value"], row["users"]) == (0.875, 40)
    assert row["value_low"] < 0.875 < row["value_high"] < 1.0


def test_the_same_metrics_again(lake_of, shop):
    lake = lake_of(**{**shop, "later_purchases": []})
    evaluate_home(step_args(lake))
    first = metrics(lake)
    evaluate_home(step_args(lake))
    assert metrics(lake).equals(first)


def test_lists_not_made_is_an_error(lake_of, shop):
    with pytest.raises(StepError, match="home_recommendations"):
        evaluate_home(step_args(lake_of(**shop)))


def test_slices_follow_the_stated_rule():
    found = slices(np.array([0, 2, 3, 19, 20]))
    assert {name: users.tolist() for name, users in found.items()} == {
        "all": [True] * 5,
        "new": [True, True, False, False, False],
        "light": [False, False, True, True, False],
        "heavy": [False, False, False, False, True],
    }

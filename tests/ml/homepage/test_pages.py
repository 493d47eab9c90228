"""Whole pages: their order, what they keep of the list, and that the same day gives the same page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from expectations.tables import OUTPUTS, outputs_dir
from ml.homepage import inputs as inputs_module
from ml.homepage.chances import measure_rates
from ml.homepage.inputs import PageInputs
from ml.homepage.lay_out_pages import lay_out_pages
from ml.homepage.settings import MODULES, POPULAR, PageSettings
from qianmian.step import StepError
from tests.ml.conftest import action, build_features, item, step_args, user
from tests.ml.homepage.shop import (
    DAY,
    campaign,
    catalogue,
    contents,
    drop,
    first,
    lay_out,
    listed,
    pages,
    popular,
    similar,
    write_lists,
)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def lively(lake: Path, **more):
    """Two users with most modules."""
    actions = [
        *(action("u", "i30", days_ago=d) for d in (29, 19, 9)),
        action("u", "i31", "cart", days_ago=2),
        action("u", "i32", "view", days_ago=5),
        action("v", "i33", "view", days_ago=5),
    ]
    return lay_out(
        lake,
        listed("u", [f"i{n:02}" for n in range(20)], explored=["i15"]) + listed("v", ["i01", "i00", "i02"]),
        similar("i31", [f"i{n}" for n in range(10, 20)]) + similar("i33", ["i11", "i12", "i13"], "similar_text"),
        item_features=catalogue(60, category="tea"),
        user_features=[user("u", favorite_category="tea"), user("v")],
        user_actions=actions,
        price_drops=[drop("i32", 9, 7), drop("i40", 9, 7), drop("i00", 9, 7)],
        segment_items=popular("loyal", [f"i{n:02}" for n in range(45, 59)]),
        active_campaigns=campaign("c1", "Tea week", ["i00", "i01"]),
        **more,
    )


def test_columns_are_the_contract_and_rows_are_sorted(lake):
    lively(lake)
    table = pq.read_table(outputs_dir(lake, DAY) / "homepage_layouts.parquet")
    shape = OUTPUTS["homepage_layouts"]
    assert table.column_names == [*shape.column_names, "model_version"]
    keys = [(row["user_id"], row["slot"]) for row in table.to_pylist()]
    assert keys == sorted(set(keys))
    for column in shape.required:
        assert table[column].null_count == 0, column


def test_modules_stand_by_worth_between_the_hero_and_the_ad(lake):
    settings = PageSettings()
    for page in lively(lake).values():
        modules = list(dict.fromkeys(row["module"] for row in page))
        assert (modules[0], modules[-1]) == ("hero_campaign", "ad")
        places = {module: [row for row in page if row["module"] == module] for module in modules[1:-1]}
        worth = [
            sum(row["expected_value"] for row in rows)
            / settings.module_persistence ** (rows[0]["module_rank"] - 1)
            for rows in places.values()
        ]
        assert worth == sorted(worth, reverse=True)


def test_a_slot_is_worth_its_chance_times_how_likely_it_is_looked_at(lake):
    settings = PageSettings(module_persistence=0.5, item_persistence=0.25)
    page = lively(lake, settings=settings)["u"]
    rows = [row for row in page if row["probability"] is not None]
    assert len({row["module"] for row in rows}) > 1
    for row in rows:
        looked_at = 0.5 ** (row["module_rank"] - 1) * 0.25 ** (row["rank"] - 1)
        assert row["expected_value"] == pytest.approx(row["probability"] * looked_at, abs=1e-9)


def test_no_other_order_of_the_modules_is_worth_more(lake):
    """Every exchange of two modules loses."""
    page = lively(lake)["u"]
    persistence = PageSettings().module_persistence
    worth = {}
    for row in page:
        at_top = row["expected_value"] / persistence ** (row["module_rank"] - 1)
        worth[row["module_rank"]] = worth.get(row["module_rank"], 0.0) + at_top
    ranks = sorted(worth)[1:-1]
    for a in ranks:
        for b in ranks:
            if a < b:
                stays = worth[a] * persistence**a + worth[b] * persistence**b
                exchanged = worth[b] * persistence**a + worth[a] * persistence**b
                assert stays >= exchanged - 1e-9


def test_an_item_outside_of_the_list_is_given_no_more_than_its_last_row(lake):
    page = lively(lake)["v"]
    last = min(row["probability"] for row in page if row["probability"] is not None)
    settings = PageSettings()
    for row in page:
        if row["content_type"] == "item" and row["probability"] is None:
            looked_at = settings.module_persistence ** (row["module_rank"] - 1) * settings.item_persistence ** (
                row["rank"] - 1
            )
            assert row["expected_value"] <= last * looked_at + 1e-9


def test_every_row_of_the_list_is_on_the_page_as_it_was(lake):
    for user_id, items in (("u", [f"i{n:02}" for n in range(20)]), ("v", ["i01", "i00", "i02"])):
        page = lively(lake)[user_id]
        kept = {row["content_id"]: row for row in page if row["recommendation_id"]}
        assert set(kept) == set(items)
        for rank, item_id in enumerate(items, start=1):
            row = kept[item_id]
            assert row["recommendation_id"] == f"{user_id}/{rank}"
            assert row["probability"] == pytest.approx(0.1 / 2 ** (rank - 1))
            if row["module"] == "for_you":
                assert (row["reason_text"], row["reason_text_zh"]) == (f"Because of {item_id}", f"因为{item_id}")


def test_what_is_shown_to_learn_stays_in_the_list_with_its_propensity(lake):
    """i15 is among the similar items too, but was put into the list by chance."""
    page = lively(lake)["u"]
    explored = [row for row in page if row["is_exploration"]]
    assert [(row["content_id"], row["module"], row["propensity"]) for row in explored] == [
        ("i15", "for_you", 0.25)
    ]
    assert all(row["propensity"] == 1.0 for row in page if not row["is_exploration"])


def test_a_module_takes_no_more_than_four_rows_of_the_list(lake):
    page = lively(lake)["u"]
    taken = [row for row in page if row["module"] == "because_you_viewed" and row["recommendation_id"]]
    assert len(taken) == 4
    assert contents(page, "for_you")


def test_without_ads_and_with_three(lake):
    assert "ad" not in {row["module"] for row in lively(lake, settings=PageSettings(ads=0))["v"]}
    page = lively(lake, settings=PageSettings(ads=3))["v"]
    assert contents(page, "ad") == ["ad-1", "ad-2", "ad-3"]
    assert page[-1]["content_id"] == "ad-3"


def test_again_gives_the_same_bytes_and_shards_change_nothing(lake, monkeypatch):
    whole = lively(lake)
    path = outputs_dir(lake, DAY) / "homepage_layouts.parquet"
    before = path.read_bytes()
    lay_out_pages(step_args(lake))
    assert path.read_bytes() == before
    monkeypatch.setattr(inputs_module, "SHARD_USERS", 1)
    lay_out_pages(step_args(lake))
    assert pages(lake) == whole


def test_rates_are_what_was_bought_of_what_a_module_would_have_shown(lake):
    """A week ago four items were looked at: all of them are popular then. One user buys one of them since.

    Another bought one the day before, and so is not shown it. Two weeks ago nothing had happened yet.
    """
    looks = [action("u3", f"i0{n}", "view", days_ago=9) for n in range(1, 5)]
    build_features(
        lake,
        item_features=catalogue(10),
        user_features=[user(f"u{n}") for n in range(4)],
        user_actions=[*looks, action("u0", "i01", days_ago=1), action("u1", "i02", days_ago=8)],
        segment_items=popular("loyal", ["i09"]),
    )
    write_lists(lake, listed("u0", ["i09"]), [])
    inputs = PageInputs(lake, DAY, PageSettings())
    rates = measure_rates(inputs, PageSettings())
    inputs.close()
    module = MODULES.index(POPULAR)
    assert (rates.shown[module, 1], rates.bought[module, 1]) == (15, 1)
    usual = 2 / (4 * 4 * 10)
    assert rates.rate[module, 1] == pytest.approx((1 + 1000 * usual) / (15 + 1000))
    np.testing.assert_array_equal(rates.shown[MODULES.index("buy_again")], 0)


def test_a_tiny_shop_has_pages(lake):
    page = lay_out(lake, listed("u", ["a", "b"]), item_features=[item("a"), item("b"), item("c", is_active=False)])
    assert [row["module"] for row in page["u"]] == ["for_you", "for_you", "ad"]


def test_a_shop_without_users_writes_no_rows(lake):
    assert lay_out(lake, [], item_features=[item("a")], user_features=[]) == {}


def test_without_lists_the_step_says_what_to_run(lake):
    build_features(lake, item_features=[item("a")], user_features=[user("u")])
    with pytest.raises(StepError, match="home_recommendations") as error:
        lay_out_pages(step_args(lake))
    assert "recommend_home" in error.value.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"module_persistence": 1.1},
        {"ads": -1},
        {"look_days": 0},
        {"due_from": 3.0},
        {"sizes": {"for_you": (1, 20)}},
        {"sizes": {**PageSettings().sizes, "for_you": (3, 2)}},
    ],
)
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        PageSettings(**wrong)


def test_other_settings_have_another_version():
    assert replace(PageSettings(), ads=0).version != PageSettings().version == PageSettings().version


def test_titles_name_what_is_shown(lake):
    page = lively(lake)["u"]
    assert first(page, "for_you")["module_title"] == "Picked for you"
    assert first(page, "because_you_viewed")["module_title"] == "Because you looked at Title of i31"

"""What each module shows, and what it says of it, on shops small enough to see through."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.ml.conftest import AS_OF, action, user
from tests.ml.homepage.shop import (
    campaign,
    catalogue,
    contents,
    drop,
    first,
    lay_out,
    listed,
    popular,
    popular_in,
    similar,
)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_buy_again_is_what_is_bought_repeatedly_and_due(lake):
    """i00 every 10 days, 9 ago; i01 after 30, 9 ago; i02 once; i03 given up; i04 sold out; i06 twice."""
    bought = {
        "i00": (29, 19, 9),
        "i01": (39, 9),
        "i02": (20,),
        "i03": (200, 190, 180),
        "i04": (29, 19, 9),
        "i06": (40, 20),
    }
    items = catalogue(8)
    items[4]["is_active"] = False
    actions = [action("u", i, days_ago=d) for i, days in bought.items() for d in days]
    page = lay_out(lake, listed("u", ["i05"]), item_features=items, user_actions=actions)["u"]
    assert contents(page, "buy_again") == ["i00", "i06"]
    row = page[[row["content_id"] for row in page].index("i06")]
    assert (row["reason_text"], row["reason_text_zh"]) == (
        "You bought this twice, 20 days apart",
        "你买过两次，相隔20天",
    )
    row = first(page, "buy_again")
    assert (row["reason_text"], row["reason_text_zh"]) == (
        "You buy this about every 10 days",
        "你大约每10天买一次",
    )
    assert (row["evidence_type"], row["evidence_id"]) == ("rhythm", "10")


def test_what_was_sent_back_is_not_bought_again(lake):
    actions = [action("u", "i00", days_ago=d) for d in (29, 19, 9)] + [action("u", "i00", "return", days_ago=8)]
    page = lay_out(lake, listed("u", ["i05"]), item_features=catalogue(8), user_actions=actions)["u"]
    assert contents(page, "buy_again") == []


def test_the_anchor_is_the_latest_strong_look_at_what_is_not_bought(lake):
    """i02 was looked at last but once only; i01 was put into the cart; i00 was bought since."""
    actions = [
        action("u", "i00", "cart", days_ago=3),
        action("u", "i00", "purchase", days_ago=2),
        action("u", "i01", "cart", days_ago=4),
        action("u", "i02", "view", days_ago=1),
        action("u", "i08", "dismiss", days_ago=30),
        action("u", "i09", "purchase", days_ago=30),
    ]
    others = ["i03", "i08", "i04", "i09", "i05"]
    alike = similar("i00", others) + similar("i01", others) + similar("i02", others)
    page = lay_out(lake, listed("u", ["i06"]), alike, item_features=catalogue(12), user_actions=actions)["u"]
    assert contents(page, "because_you_viewed") == ["i03", "i04", "i05"]
    row = first(page, "because_you_viewed")
    assert row["module_title"] == "Because you looked at Title of i01"
    assert row["module_title_zh"] == "因为你看过“Title of i01”"
    assert row["reason_text"] == "Others who chose Title of i01 chose this too"
    assert (row["reason_code"], row["evidence_type"], row["evidence_id"]) == ("bought_together", "item", "i01")


def test_two_similar_items_are_too_few(lake):
    actions = [action("u", "i01", "cart", days_ago=4)]
    alike = similar("i01", ["i03", "i04"])
    page = lay_out(lake, listed("u", ["i06"]), alike, item_features=catalogue(8), user_actions=actions)["u"]
    assert contents(page, "because_you_viewed") == []


def test_price_drops_are_of_what_was_looked_at_then_of_the_favorite_category(lake):
    items = catalogue(8, category="tea")
    items[6]["category"] = "cups"
    actions = [action("u", "i05", "view", days_ago=9), action("u", "i01", "purchase", days_ago=9)]
    page = lay_out(
        lake,
        listed("u", ["i07"]),
        item_features=items,
        user_features=[user("u", favorite_category="tea")],
        user_actions=actions,
        price_drops=[
            drop("i05", 39, 29),
            drop("i06", 9, 8),
            drop("i03", 2, 1),
            drop("i02", 7.5, 5),
            drop("i01", 3, 2),
        ],
    )["u"]
    assert contents(page, "price_drops") == ["i05", "i02", "i03"]  # not i06 of cups, nor i01, which is bought
    row = first(page, "price_drops")
    assert row["reason_text"] == "Price dropped from 39.00 to 29.00"
    assert row["reason_text_zh"] == "价格从 39.00 降到 29.00"
    assert (row["evidence_type"], row["evidence_id"]) == ("price", "39.00/29.00")
    codes = [row["reason_code"] for row in page if row["module"] == "price_drops"]
    assert codes == ["price_drop_on_your_look", "price_drop_in_your_category", "price_drop_in_your_category"]


def test_new_items_are_of_a_category_that_the_user_follows(lake):
    items = catalogue(20, category="tea")
    for number in (3, 4, 5):
        items[number]["created_on"] = date(2026, 10, 15)
    items[6].update(created_on=date(2026, 10, 15), category="cups")
    items[7].update(created_on=date(2026, 10, 1))  # 30 days are over
    actions = [action("u", "i00", "purchase", days_ago=9)]
    page = lay_out(
        lake,
        listed("u", ["i18"]) + listed("v", ["i18"]),
        item_features=items,
        user_actions=actions,
    )
    assert contents(page["u"], "new_for_you") == ["i03", "i04", "i05"]
    row = first(page["u"], "new_for_you")
    assert (row["module_title"], row["reason_text"]) == ("New in tea", "New in tea, where you often look")
    assert (row["evidence_type"], row["evidence_id"]) == ("category", "tea")
    # Who follows nothing yet sees two of each category.
    assert contents(page["v"], "new_for_you") == ["i06", "i03", "i04"]
    row = first(page["v"], "new_for_you")
    assert (row["module_title"], row["reason_text"]) == ("New in the shop", "New in cups")


def test_where_everything_is_new_new_says_nothing(lake):
    page = lay_out(lake, listed("u", ["i09"]), item_features=catalogue(10, category="tea", created_on=AS_OF))["u"]
    assert contents(page, "new_for_you") == []


def test_popular_is_of_the_region_or_else_of_the_segment(lake):
    items = catalogue(12)
    page = lay_out(
        lake,
        listed("u", ["i00"]) + listed("v", ["i00"]) + listed("w", ["i00"]),
        item_features=items,
        user_features=[user("u", region="浙江"), user("v", "loyal", region="Oslo"), user("w", "odd")],
        region_items=popular_in("浙江", ["i00", "i05", "i06", "i07", "i08"])
        + popular_in("Oslo", ["i00", "i01", "i02"]),
        segment_items=popular("loyal", ["i01", "i02", "i03", "i04"])
        + popular("all", ["i09", "i10", "i11", "i05"]),
    )
    assert contents(page["u"], "popular_near_you") == ["i05", "i06", "i07", "i08"]
    row = first(page["u"], "popular_near_you")
    assert (row["module_title"], row["module_title_zh"]) == ("Popular in 浙江", "浙江热卖")
    assert (row["evidence_type"], row["evidence_id"]) == ("region", "浙江")
    # Oslo has too few besides the list.
    assert contents(page["v"], "popular_near_you") == ["i01", "i02", "i03", "i04"]
    row = first(page["v"], "popular_near_you")
    assert (row["reason_text"], row["evidence_id"]) == ("Popular with regular customers", "loyal")
    assert contents(page["w"], "popular_near_you") == ["i09", "i10", "i11", "i05"]
    assert first(page["w"], "popular_near_you")["reason_text"] == "Popular right now"


def test_the_hero_is_the_campaign_of_which_the_user_would_buy_something(lake):
    """u's list has i00 (chance 0.1) and i01 (0.05); v looks at i05 only; w has nothing to do with either."""
    items = catalogue(12)
    page = lay_out(
        lake,
        listed("u", ["i00", "i01"]) + listed("v", ["i09"]) + listed("w", ["i09"]),
        item_features=items,
        user_actions=[action("v", "i05", "view", days_ago=2)],
        active_campaigns=campaign("c1", "Tea week", ["i00"]) + campaign("c2", "茶周", ["i01", "i05"]),
    )
    [row] = [row for row in page["u"] if row["module"] == "hero_campaign"]
    assert (row["slot"], row["content_type"], row["content_id"]) == (1, "campaign", "c1")
    assert row["module_title"] == "On now: Tea week"
    assert row["reason_text"] == "With Title of i00, one of our picks for you"
    assert row["evidence_id"] == "i00"
    assert row["expected_value"] == pytest.approx(0.1)
    assert row["probability"] is None
    row = first(page["v"], "hero_campaign")
    assert (row["content_id"], row["reason_text"]) == ("c2", "With Title of i05, which you looked at")
    assert contents(page["w"], "hero_campaign") == []


def test_a_hero_that_rests_on_popularity_is_not_called_a_pick(lake):
    page = lay_out(
        lake,
        listed("u", ["i00", "i01"], reason_code="popular"),
        item_features=catalogue(12),
        active_campaigns=campaign("c1", "Tea week", ["i00"]),
    )
    row = first(page["u"], "hero_campaign")
    assert (row["reason_text"], row["reason_text_zh"]) == (
        "With Title of i00, popular right now",
        "含大家都在买的“Title of i00”",
    )


def test_a_campaign_without_enough_of_the_list_is_no_hero(lake):
    """The list's chances add up to about 0.2; its sixth row has 0.003 of them."""
    page = lay_out(
        lake,
        listed("u", [f"i0{n}" for n in range(6)]),
        item_features=catalogue(12),
        active_campaigns=campaign("c1", "Tea week", ["i05"]),
    )["u"]
    assert contents(page, "hero_campaign") == []


def test_what_was_seen_too_often_makes_way(lake):
    seen = [{"user_id": "u", "item_id": "i05", "impressions_14d": 8, "last_shown_on": AS_OF}]
    page = lay_out(
        lake,
        listed("u", ["i00"]),
        item_features=catalogue(12),
        segment_items=popular("loyal", ["i04", "i05", "i06", "i07", "i08"]),
        user_impressions=seen,
    )["u"]
    assert contents(page, "popular_near_you") == ["i04", "i06", "i07", "i08"]


def test_a_blocked_item_is_nowhere(lake):
    """Not from the list, nor from any other module; whichever way the rule names it."""
    items = catalogue(12, category="tea")
    items[1]["brand"] = "Hu"
    rule = {"rule_id": "r1", "action": "block"}
    page = lay_out(
        lake,
        listed("u", ["i00", "i01", "i02"]),
        similar("i02", ["i00", "i01", "i03", "i04", "i05"]),
        item_features=items,
        user_features=[user("u", favorite_category="tea")],
        user_actions=[action("u", "i02", "cart"), *(action("u", "i00", days_ago=d) for d in (29, 19, 9))],
        price_drops=[drop("i00", 9, 8), drop("i01", 9, 8), drop("i06", 9, 8), drop("i07", 9, 8)],
        segment_items=popular("loyal", ["i00", "i01", "i08", "i09", "i10", "i11"]),
        active_campaigns=campaign("c1", "Hu", ["i00", "i01"]),
        active_rules=[{**rule, "item_id": "i00"}, {**rule, "rule_id": "r2", "brand": "Hu"}],
    )["u"]
    shown = {row["content_id"] for row in page}
    assert not shown & {"i00", "i01", "c1"}
    assert {"i02", "i03", "i06", "i08"} <= shown


def test_a_newcomer_has_a_page_of_the_popular_and_the_new(lake):
    items = catalogue(40, category="tea")
    for number in (30, 31, 32):
        items[number].update(created_on=date(2026, 10, 20), category=f"c{number}")
    row = {"reason_code": "popular", "evidence_type": "segment", "evidence_id": "all"}
    page = lay_out(
        lake,
        listed("u", [f"i{n:02}" for n in range(20)], **row),
        item_features=items,
        user_features=[user("u", "newcomers", region="浙江")],
        region_items=popular_in("浙江", [f"i{n:02}" for n in range(30)]),
    )["u"]
    assert {row["module"]: row["module_title"] for row in page} == {
        "for_you": "Popular picks to start with",
        "popular_near_you": "Popular in 浙江",
        "new_for_you": "New in the shop",
        "ad": "Advertisement",
    }

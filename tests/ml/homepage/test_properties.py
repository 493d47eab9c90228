"""What holds of every page, whatever the shop: random small shops through the whole step, and bare arithmetic."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.homepage.candidates import Candidates
from ml.homepage.layout import NO_ROW, Listed, arrange, choose_items
from ml.homepage.settings import AD, FOR_YOU, HERO, ITEM_MODULES, MODULES, PageSettings
from tests.ml.conftest import AS_OF, action, item, user
from tests.ml.homepage.shop import campaign, drop, lay_out, listed, popular, popular_in, similar

CATEGORIES = ("茶", "cups", None)
EVENTS = ("view", "click", "cart", "favorite", "rating", "purchase", "dismiss", "return")


@st.composite
def shops(draw):
    """A shop of up to 24 items and 5 users: items sold out, blocked, dismissed; users without anything."""
    item_ids = [f"i{n:02}" for n in range(draw(st.integers(1, 24)))]
    items = [
        item(
            item_id,
            is_active=draw(st.sampled_from((True, True, True, False))),
            category=draw(st.sampled_from(CATEGORIES)),
            popularity=float(draw(st.integers(0, 5))),
            created_on=draw(st.sampled_from((None, AS_OF, AS_OF - timedelta(days=400)))),
        )
        for item_id in item_ids
    ]
    some = st.lists(st.sampled_from(item_ids), unique=True, max_size=len(item_ids))
    user_ids = [f"u{n}" for n in range(draw(st.integers(1, 5)))]
    users = [
        user(
            user_id,
            draw(st.sampled_from(("loyal", "newcomers", "odd"))),
            region=draw(st.sampled_from(("浙江", None))),
            favorite_category=draw(st.sampled_from(CATEGORIES)),
        )
        for user_id in user_ids
    ]
    actions = [
        action(
            draw(st.sampled_from(user_ids)), draw(st.sampled_from(item_ids)), draw(st.sampled_from(EVENTS)), days
        )
        for days in draw(st.lists(st.integers(0, 120), max_size=60))
    ]
    lists = []
    for user_id in user_ids:
        of_user = draw(some)[:20]
        lists += listed(user_id, of_user, draw(st.floats(0.001, 0.5)), explored=of_user[5:6])
    alike = []
    for item_id in draw(some):
        alike += similar(item_id, [other for other in draw(some) if other != item_id])
    return {
        "item_features": items,
        "user_features": users,
        "user_actions": actions,
        "lists": lists,
        "similar_items": alike,
        "price_drops": [drop(item_id, 9.0, 7.5) for item_id in draw(some)],
        "region_items": popular_in("浙江", draw(some)),
        "segment_items": popular("loyal", draw(some)) + popular("all", draw(some)),
        "active_campaigns": campaign("c1", "Week", draw(some)) + campaign("c2", "周", draw(some)),
        "active_rules": [
            {"rule_id": f"r{item_id}", "action": "block", "item_id": item_id} for item_id in draw(some)[:3]
        ],
    }


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(shops())
def test_every_page_of_every_shop(shop):
    with tempfile.TemporaryDirectory() as folder:
        found = lay_out(Path(folder) / "lake", **shop)
    sizes = {**PageSettings().sizes, HERO: (1, 1), AD: (1, 1)}
    may_be_shown = {row["item_id"] for row in shop["item_features"] if row["is_active"]}
    may_be_shown -= {row["item_id"] for row in shop["active_rules"]}
    listed_of = {}
    for row in shop["lists"]:
        listed_of.setdefault(row["user_id"], {})[row["item_id"]] = row
    assert set(found) == {row["user_id"] for row in shop["user_features"]}
    for user_id, page in found.items():
        assert [row["slot"] for row in page] == list(range(1, len(page) + 1))
        assert len({(row["content_type"], row["content_id"]) for row in page}) == len(page)
        modules = list(dict.fromkeys(row["module"] for row in page))
        for module_rank, module in enumerate(modules, start=1):
            rows = [row for row in page if row["module"] == module]
            assert {row["module_rank"] for row in rows} == {module_rank}
            assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
            assert sizes[module][0] <= len(rows) <= sizes[module][1]
            assert len({row["module_title"] for row in rows}) == 1
        for row in page:
            if row["content_type"] == "item":
                assert row["content_id"] in may_be_shown
            for column in ("module_title", "module_title_zh", "reason_text", "reason_text_zh", "reason_code"):
                assert row[column].strip()
            of_list = listed_of.get(user_id, {}).get(row["content_id"])
            assert (row["recommendation_id"] is not None) == (of_list is not None)
            if of_list:
                assert row["propensity"] == of_list["propensity"]
                assert row["is_exploration"] == of_list["is_exploration"]
            assert 0 <= row["expected_value"] <= 1
        # Nothing that the recommender chose and may be shown is lost.
        shown = {row["content_id"] for row in page}
        assert set(listed_of.get(user_id, {})) & may_be_shown <= shown


@st.composite
def pools(draw):
    """Candidates of each module for three users over ten items, with an item as often as may be; and lists."""
    cells = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=40)

    def pool(pairs):
        pairs = sorted(pairs, key=lambda pair: pair[0])
        user_, item_ = (np.array([pair[n] for pair in pairs], dtype=np.int64) for n in (0, 1))
        return Candidates(user_, item_, np.zeros(len(user_), dtype=np.int64), np.zeros(len(user_), dtype=np.int64))

    pairs = sorted(set(draw(cells)))
    chance = np.array(draw(st.lists(st.floats(0, 1), min_size=len(pairs), max_size=len(pairs))))
    explored = np.array(draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs))), dtype=bool)
    lists = Listed(
        np.array([pair[0] for pair in pairs], dtype=np.int64),
        np.array([pair[1] for pair in pairs], dtype=np.int64),
        chance, explored,
    )  # fmt: skip
    given_ = {module: [pool(draw(cells)), pool(draw(cells))] for module in ITEM_MODULES if module != FOR_YOU}
    sizes = {}
    for module in ITEM_MODULES:
        least = draw(st.integers(1, 3))
        sizes[module] = (least, least + draw(st.integers(0, 4)))
    return given_, lists, PageSettings(sizes=sizes, list_rows_a_module=draw(st.integers(0, 3)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(pools())
def test_whatever_the_candidates_nothing_stands_twice_and_sizes_hold(drawn):
    given_, lists, page = drawn
    chosen = choose_items(given_, lists, 10, page)
    everything = [(u, i) for shown, _ in chosen.values() for u, i in zip(shown.user, shown.item, strict=True)]
    assert len(set(everything)) == len(everything)
    explored = {
        (u, i) for u, i in zip(lists.user[lists.is_exploration], lists.item[lists.is_exploration], strict=True)
    }
    for module, (shown, row) in chosen.items():
        least, most = page.sizes[module]
        _, counts = np.unique(shown.user, return_counts=True)
        assert ((counts >= least) & (counts <= most)).all()
        np.testing.assert_array_equal(row, lists.rows_of(shown.user, shown.item, 10))
        if module != FOR_YOU:
            listed_counts = np.bincount(shown.user[row != NO_ROW], minlength=3)
            assert (listed_counts <= page.list_rows_a_module).all()
            assert not explored & set(zip(shown.user, shown.item, strict=True))

    chances = {module: np.linspace(0.1, 0.5, len(shown)) for module, (shown, _) in chosen.items()}
    none = np.zeros(0, dtype=np.int64)
    chosen[HERO], chances[HERO] = (Candidates(none, none, none, none), none), np.zeros(0)
    placed = arrange(chosen, chances, np.arange(3), page)
    assert len(placed) == len(everything) + 3 * page.ads
    for one in range(3):
        mine = placed.user == one
        np.testing.assert_array_equal(placed.slot[mine], np.arange(1, mine.sum() + 1))
        assert MODULES[placed.module[mine][-1]] == AD

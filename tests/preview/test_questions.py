"""What the pages ask: users, their page, their reasons, the shop's figures, on rows whose answers are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from preview import people, shop
from preview.changes import Change, gone, places, portrait_changes, trait_changes
from preview.reading import Reading
from preview.search import pseudonym_of
from tests.preview.small_shop import KEY, NEW, RICH, USERS, user_id

Read = Callable[..., Reading]


def test_users_are_found_by_the_first_characters(read: Read) -> None:
    reading = read()
    assert [row["user_id"] for row in people.find_users(reading, f" {RICH[:10].upper()} ")] == [RICH]
    assert len(people.find_users(reading, "")) == 8
    assert people.find_users(reading, "%") == []
    assert people.find_users(reading, "'; drop table x; --") == []


def test_suggested_users_are_different_ones(read: Read) -> None:
    reading = read()
    found = {kind: rows[0]["user_id"] for kind, rows in people.suggested_users(reading).items()}
    assert found["richest"] == RICH
    assert found["newcomer"] == NEW
    assert len(set(found.values())) == len(found) == 4
    stage = reading.ask("select lifecycle_stage from today.user_portraits where user_id = $u", u=found["slipping"])
    assert stage == [{"lifecycle_stage": "at_risk"}]


def test_the_most_changed_user_has_most_new_items_in_the_top_ten(read: Read) -> None:
    reading = read()
    row = people.suggested_users(reading)["changed"][0]

    def new_items(user: str) -> int:
        tops = [
            {r["item_id"] for r in people.ranked_list(reading, user, schema)[:10]}
            for schema in ("today", "before")
        ]
        return len(tops[0] - tops[1])

    others = [user_id(n) for n in range(USERS) if user_id(n) != RICH]
    assert row["new_items"] == new_items(row["user_id"]) == max(map(new_items, others))


def test_no_day_before_gives_no_changed_user(read: Read) -> None:
    assert "changed" not in people.suggested_users(read("2026-10-29"))


def test_a_portrait_has_its_segments_name(read: Read) -> None:
    about = people.portrait(read(), RICH)
    assert about is not None
    assert (about["lifecycle_stage"], about["taste_name"], about["taste_name_zh"]) == (
        "loyal",
        "Outdoor and active",
        "户外运动",
    )
    assert people.portrait(read(), "nobody") is None


def test_a_page_has_its_items_and_its_places_in_the_list(read: Read) -> None:
    page = people.page(read(), RICH)
    assert [row["slot"] for row in page] == list(range(1, 23))
    campaign, first = page[0], page[1]
    assert (campaign["content_type"], campaign["title"], campaign["list_rank"]) == ("campaign", None, None)
    assert first["list_rank"] == 1
    assert first["title"].startswith(first["brand"])
    assert first["candidate_source"] == "buy_again"
    assert people.page(read(), NEW) == []


def test_explanations_name_their_evidence(read: Read) -> None:
    reading = read()
    first = people.ranked_list(reading, RICH)[0]
    explained = people.explanations(reading, RICH)
    assert len(explained) == 20
    rows = explained[first["recommendation_id"]]
    assert [(row["kind"], row["reason_rank"]) for row in rows] == [
        *(("evidence", 1), ("evidence", 2)),
        *(("part", 1), ("part", 2), ("part", 3)),
    ]
    assert rows[0]["evidence_title"] == first["title"]
    assert sum(row["contribution"] for row in rows if row["kind"] == "part") == pytest.approx(first["score"])


def test_filters_come_in_the_order_of_the_places_they_touch(read: Read) -> None:
    rows = people.filters(read(), RICH)
    assert [(row["rule"], row["rank_before"], row["rank_after"]) for row in rows] == [
        ("already_bought", 2, None),
        ("brand_cap", 4, 13),
        ("dismissed", 5, None),
        ("exploration", None, 12),
        ("pinned", 31, 3),
    ]
    assert all(row["title"] for row in rows)


def test_changes_of_a_portrait_and_of_traits(read: Read) -> None:
    reading = read()
    was, now = people.portrait(reading, RICH, "before"), people.portrait(reading, RICH)
    assert was is not None
    assert now is not None
    found = portrait_changes(was, now)
    assert Change("lifecycle_stage", "active", "loyal") in found
    assert not {change.name for change in found} & {"as_of_date", "run_id", "platform"}
    traits = trait_changes(people.traits(reading, RICH, "before"), people.traits(reading, RICH))
    assert [(c.kind, (c.after or c.before or {})["trait"]) for c in traits] == [
        ("stronger", "brand_affinity"),
        ("value", "lifecycle_stage"),
        ("new", "review_sentiment"),
    ]


def test_small_steps_are_not_told() -> None:
    assert portrait_changes({"amount_spent_7d": 100.0}, {"amount_spent_7d": 101.9}) == []
    assert portrait_changes({"amount_spent_7d": 100.0}, {"amount_spent_7d": 103.0}) != []
    trait = {"trait": "x", "subject": "all", "value": "12 days", "strength": 0.5, "confidence": 0.5}
    assert trait_changes([trait], [{**trait, "value": "13 days", "strength": 0.54}]) == []
    assert [c.kind for c in trait_changes([trait], [{**trait, "confidence": 0.4}])] == ["weaker"]
    assert [c.kind for c in trait_changes([trait], [])] == ["gone"]


def test_places_before() -> None:
    before = [{"content_type": "item", "content_id": name} for name in "abc"]
    after = [{"content_type": "item", "content_id": name} for name in "cxa"]
    assert places(before, after) == {"item/c": 3, "item/x": None, "item/a": 1}
    assert gone(before, after) == [before[1]]


def test_a_shops_own_id_is_found_only_with_the_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secrets") / "pseudonym.key"
    assert pseudonym_of("u7", file, {}) is None
    assert not file.exists()
    file.write_text(KEY + "\n")
    assert pseudonym_of("u7", file, {}) == RICH
    file.write_text("short")
    assert pseudonym_of("u7", file, {}) is None


def test_the_shops_figures(read: Read) -> None:
    reading = read()
    top = shop.headline(reading)
    assert (top["users"], top["users_listed"], top["places"], top["exploration"]) == (24, 24, 480, 0.05)
    shown = reading.ask("select count(distinct item_id) as n from today.home_recommendations")[0]["n"]
    assert (top["items_shown"], top["items_active"]) == (shown, 112)
    assert sum(row["users"] for row in shop.lifecycle(reading)) == 24
    assert sum(row["places"] for row in shop.chances(reading)) == 480
    for row in shop.chances(reading):
        assert row["chance_to"] / row["chance_from"] == pytest.approx(10**0.25)
    ranks = shop.by_rank(reading)
    assert [row["rank"] for row in ranks] == list(range(1, 21))
    assert ranks[0]["score"] == 1.0
    assert ranks[3]["score"] == pytest.approx(0.25)


def test_shares_add_up(read: Read) -> None:
    reading = read()
    for rows, name in (
        (shop.shares(reading, "candidate_source"), "share"),
        (shop.shares(reading, "reason_code"), "share"),
        (shop.categories(reading), "share_of_places"),
        (shop.categories(reading), "share_of_sales"),
        (shop.modules(reading), "share_of_value"),
        (shop.lifecycle(reading), "share"),
    ):
        assert sum(row[name] for row in rows) == pytest.approx(1.0)
    assert sum(row["items_shown"] for row in shop.categories(reading)) == shop.headline(reading)["items_shown"]
    assert 0 < shop.concentration(reading)["top_1"] < shop.concentration(reading)["top_10"] < 1


def test_metrics_of_every_day_up_to_the_one_shown(read: Read) -> None:
    days = [row["as_of_date"].isoformat() for row in shop.metrics_over_days(read("2026-10-30"))]
    assert sorted(set(days)) == ["2026-10-29", "2026-10-30"]
    assert len(days) == 2 * 3 * 2  # days x metrics x lengths


def test_checks_and_runs(read: Read) -> None:
    reading = read()
    assert [(row["check_name"], row["status"]) for row in shop.not_passed(reading)] == [
        ("No list is short", "warning")
    ]
    assert [(row["as_of_date"].isoformat(), row["is_latest"]) for row in shop.last_runs(reading)] == [
        ("2026-10-31", True),
        ("2026-10-30", False),
        ("2026-10-29", False),
    ]

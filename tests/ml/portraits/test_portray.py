"""The step on a shop whose users' tastes are known: what it believes, and what changes when."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from expectations.tables import OUTPUTS, outputs_dir
from ml.portraits.belief import FLOOR
from qianmian.step import StepError
from tests.ml.conftest import AS_OF, action, build_features
from tests.ml.portraits.conftest import days_of, goods, output, run, shop, traits

NEXT = AS_OF + timedelta(days=1)
TABLES = ("user_traits", "user_profiles", "taste_segments", "item_portraits")


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_the_contract_and_keys_are_in_order(portrayed, table):
    rows = output(portrayed, table)
    assert list(rows[0]) == [*OUTPUTS[table].column_names, "model_version"]
    keys = [tuple(row[k] for k in OUTPUTS[table].key) for row in rows]
    assert keys == sorted(set(keys))
    assert all(row[name] is not None for row in rows for name in OUTPUTS[table].required)


def test_a_users_taste_is_known_with_its_evidence(portrayed):
    found = traits(portrayed, "u000")
    books = found["category_affinity", "Books"]
    assert (books["strength"], books["value"], books["source"]) == (1.0, "1.00", "measured")
    assert books["evidence_count"] == 10
    assert books["evidence"].startswith("100% of the user's weighted actions, 10 of them")
    assert "100%" in books["evidence_zh"]
    assert books["valid_from_at"] == datetime(2026, 9, 21, 12)
    assert books["valid_to_at"] > datetime(2026, 11, 1)
    assert {subject for trait, subject in found if trait == "brand_affinity"} == {"Books-a", "Books-b"}
    assert found["platform", "all"]["value"] == "web"
    assert found["active_hour", "all"]["value"] == "12:00"


def test_the_newcomer_has_a_portrait_that_says_how_little_is_known(portrayed):
    assert {key: row["value"] for key, row in traits(portrayed, "zz").items()} == {
        ("cold_start", "all"): "yes",
        ("lifecycle_stage", "all"): "visitor",
    }
    profile = output(portrayed, "user_profiles")[-1]
    assert (profile["user_id"], profile["taste_segment"]) == ("zz", "newcomers")
    assert profile["portrait_text"] == "A visitor who has not bought yet. Too little is known yet to say more."
    assert profile["portrait_text_zh"] == "尚未购买的访客。目前了解甚少，暂无法多说。"
    assert profile["average_days_between_orders"] is None


def test_segments_are_the_tastes(portrayed):
    segment = {row["user_id"]: row["taste_segment"] for row in output(portrayed, "user_profiles")}
    by_taste = [{segment[f"u{n:03d}"] for n in range(taste, 90, 3)} for taste in range(3)]
    assert sum(map(len, by_taste)) == len(set.union(*by_taste))
    segments = {row["taste_segment"]: row for row in output(portrayed, "taste_segments")}
    assert sum(row["users"] for row in segments.values()) == 92
    for one in by_taste[0]:
        assert (segments[one]["top_category"], segments[one]["top_category_lift"]) == ("Books", pytest.approx(3.0))
        assert segments[one]["name"].startswith("Books shoppers")
        assert segments[one]["name_zh"].startswith("爱逛Books")
        assert "100% of what they act on, 3.0 times everyone's share" in segments[one]["description"]


def test_who_buys_an_item_more_than_others(portrayed):
    segment = {row["user_id"]: row["taste_segment"] for row in output(portrayed, "user_profiles")}
    of_books = {segment[f"u{n:03d}"] for n in range(0, 90, 3)}
    items = {row["item_id"]: row for row in output(portrayed, "item_portraits")}
    assert items["Books1"]["buyer_segment"] in of_books
    assert items["Books1"]["buyer_segment_lift"] > 1.05
    assert "books" in items["Books1"]["keywords"]


def test_a_day_on_which_nothing_happens_only_fades(portrayed):
    before, after = output(portrayed, "user_traits"), output(portrayed, "user_traits", NEXT)
    steady = [row for row in before if row["trait"] != "next_purchase" and row["user_id"] != "yy"]
    again = [row for row in after if row["trait"] != "next_purchase" and row["user_id"] != "yy"]
    same = ("user_id", "trait", "subject", "value", "strength", "source", "evidence_count", "valid_from_at")
    assert [[r[c] for c in same] for r in steady] == [[r[c] for c in same] for r in again]
    fading = [(b, a) for b, a in zip(steady, again, strict=True) if b["trait"] != "cold_start"]
    for b, a in fading:
        assert a["confidence"] < b["confidence"] or b["confidence"] in (0.0, pytest.approx(1.0, abs=1e-6)), b
        assert b["confidence"] - a["confidence"] < 0.1, b
        if b["trait"] != "lifecycle_stage" and b["valid_to_at"]:
            assert abs(a["valid_to_at"] - b["valid_to_at"]) < timedelta(seconds=1)


def test_where_nobody_is_seen_not_even_confidence_fades(tmp_path):
    lake = build_features(tmp_path / "lake", **shop())
    run(lake)
    run(lake, AS_OF + timedelta(days=9))
    for table in TABLES:
        assert output(lake, table, AS_OF + timedelta(days=9)) == output(lake, table), table


def test_weekdays_are_those_of_the_shops_time_zone(tmp_path):
    """Three users in four act on UTC Saturdays only, which in the shop are Sundays."""
    tables = shop(90)
    saturdays = [AS_OF - timedelta(days=7 * k) for k in range(20)]
    assert saturdays[0].weekday() == 5
    rows = [
        row for row in tables["user_days"] if int(row["user_id"][1:] if row["user_id"][0] == "u" else 0) % 4 == 0
    ]
    for number in range(90):
        if number % 4:
            for day in saturdays:
                [row] = days_of([{"user_id": f"u{number:03d}", "event_date": day}], hour=2)
                rows.append({**row, "local_date": day + timedelta(days=1)})
    lake = build_features(tmp_path / "lake", **{**tables, "user_days": rows})
    run(lake)
    assert traits(lake, "u001")["active_weekday", "all"]["value"] == "sunday"


def test_a_day_on_which_nothing_happens_moves_nobody(portrayed):
    def placed(day):
        return [(row["user_id"], row["taste_segment"]) for row in output(portrayed, "user_profiles", day)]

    assert placed(AS_OF) == placed(NEXT)
    steady = ("taste_segment", "name", "name_zh", "description", "users")
    assert [[r[c] for c in steady] for r in output(portrayed, "taste_segments")] == [
        [r[c] for c in steady] for r in output(portrayed, "taste_segments", NEXT)
    ]


def test_a_past_day_again_gives_the_same_bytes(portrayed):
    folder = outputs_dir(portrayed, AS_OF.isoformat())
    before = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    assert {f"{table}.parquet" for table in TABLES} | {"taste_segment_centroids.json"} == set(before)
    run(portrayed)  # the day after lies there too
    assert {path.name: path.read_bytes() for path in sorted(folder.iterdir())} == before


def test_shards_change_nothing(portrayed, monkeypatch):
    before = {table: output(portrayed, table) for table in TABLES}
    monkeypatch.setattr("ml.portraits.portray.shards.__defaults__", (7,))
    run(portrayed)
    assert {table: output(portrayed, table) for table in TABLES} == before


def test_a_new_purchase_changes_its_buyer_explainably(portrayed, portray_shop):
    tables = shop()
    bought = {**action("u000", "Garden3", "purchase", 0.0, 1.0), "amount": 13.0}
    actions = [*tables["user_actions"], bought]
    seen = [*days_of(actions), tables["user_days"][-1]]
    lake = portray_shop(**{**tables, "user_actions": actions, "user_days": seen})
    before, after = traits(portrayed, "u000"), traits(lake, "u000")
    assert ("category_affinity", "Garden") not in before
    garden, books = after["category_affinity", "Garden"], after["category_affinity", "Books"]
    assert garden["evidence_count"] == 1
    assert garden["strength"] + books["strength"] == pytest.approx(1.0)
    assert books["strength"] < before["category_affinity", "Books"]["strength"]
    # Books' evidence stands as it was: its confidence neither rose nor fell.
    assert books["confidence"] == pytest.approx(before["category_affinity", "Books"]["confidence"], abs=1e-6)
    rhythm = ("purchase_rhythm", "all")
    assert after[rhythm]["evidence_count"] == before[rhythm]["evidence_count"] + 1
    assert after[rhythm]["confidence"] > before[rhythm]["confidence"]
    assert (
        traits(lake, "u001")["category_affinity", "Garden"]
        == traits(portrayed, "u001")["category_affinity", "Garden"]
    )


def test_what_nothing_feeds_is_forgotten_on_the_day_that_was_said(tmp_path):
    tables = shop()
    lake = build_features(tmp_path / "lake", **tables)
    run(lake)
    ends = traits(lake, "u000")["brand_affinity", "Books-a"]["valid_to_at"]
    for day, there in ((ends.date() - timedelta(days=1), True), (ends.date() + timedelta(days=1), False)):
        build_features(lake, **shop(seen_on=day))
        run(lake, day)
        found = traits(lake, "u000", day)
        assert (("brand_affinity", "Books-a") in found) is there, day
    assert min(row["confidence"] for row in found.values() if row["trait"] != "lifecycle_stage") >= FLOOR


def test_no_text_and_no_trait_tells_what_is_sensitive(portray_shop):
    tables = shop()
    for row in tables["item_features"]:
        if row["category"] == "Garden":
            row |= {"category": "Pregnancy tests", "category_path": "Pregnancy tests > all"}
    lake = portray_shop(**tables)
    for table in ("user_traits", "user_profiles", "taste_segments"):
        assert "regnan" not in str(output(lake, table)), table
    assert ("category_affinity", "Books") in traits(lake, "u000")
    assert not [key for key in traits(lake, "u001") if key[0] in ("category_affinity", "brand_affinity")]


def test_a_shop_without_users_and_one_with_few(tmp_path):
    lake = build_features(tmp_path / "empty", item_features=goods())
    report = run(lake)
    assert (report["users"], report["user_traits"], report["item_portraits"]) == (0, 0, 30)
    lake = build_features(tmp_path / "few", **shop(6))
    run(lake)
    assert {row["taste_segment"] for row in output(lake, "user_profiles")} == {"everyone", "newcomers"}
    assert output(lake, "taste_segments")[0]["name"] == "Everyone"


def test_a_shop_without_items_is_an_error(tmp_path):
    with pytest.raises(StepError, match="has no item"):
        run(build_features(tmp_path / "lake"))


def test_the_texts_of_a_whole_shop_have_no_fault(portrayed):
    report = run(portrayed)
    assert (report["texts_checked"], report["texts_at_fault"]) == (92, 0)

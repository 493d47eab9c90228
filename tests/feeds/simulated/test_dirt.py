"""Every planted bad row is bad in its way, noted at its place, and as frequent as stated; every other is good."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from expectations.tables import EVENT_TYPES, FEEDS, PLATFORMS
from feeds.simulated.dirt import EVENTS, RATES, Rates, Row, arrivals, soil

from .conftest import Shop

ROW_KINDS = ("duplicate", "late", "unknown_item", "unknown_user", "future_time", "broken_json", "wrong_type")


def test_rates_are_near_those_stated(shop: Shop) -> None:
    table = shop.truth_table("planted_dirt")
    planted = table[table["feed"] == "events"]["kind"].value_counts()
    events = shop.report["rows_written"]["events"]
    for kind in ROW_KINDS:
        # Kinds that need an item or a known user can befall nine rows in ten.
        assert 0.8 * RATES.of_rows()[kind] < planted[kind] / events < 1.15 * RATES.of_rows()[kind], kind
    assert set(planted.index) == set(ROW_KINDS)


def test_planted_rows_are_bad_in_the_way_noted(shop: Shop) -> None:
    items = set(shop.truth_table("items")["item_id"])
    users = set(shop.truth_table("users")["user_id"])
    seen: dict[str, int] = dict.fromkeys(ROW_KINDS, 0)
    for path in sorted((shop.feeds / "events").glob("*.jsonl")):
        file_day = date.fromisoformat(path.stem)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            kind = shop.dirt.get((f"events/{path.name}", number), "")
            if kind == "broken_json":
                with pytest.raises(json.JSONDecodeError):
                    json.loads(line)
                seen[kind] += 1
                continue
            row = json.loads(line)
            faults = set()
            if row.get("item_id", "p000001") not in items:
                faults.add("unknown_item")
            if row["user_id"] and row["user_id"] not in users:
                faults.add("unknown_user")
            if "two" in row.values() or "N/A" in row.values() or row.get("rating") == "great":
                faults.add("wrong_type")
            if row["event_at"] == "yesterday":
                faults.add("wrong_type")
            else:
                at = datetime.fromisoformat(row["event_at"])
                if at.date() > file_day + timedelta(days=1):
                    faults.add("future_time")
                assert row["event_type"] in EVENT_TYPES
                assert row["platform"] in PLATFORMS
            if kind in ("", "late", "duplicate"):
                assert not faults, (path.name, number)
            else:
                assert faults == {kind}, (path.name, number)
            seen[kind or "late"] += 1
    assert all(seen.values())


def test_ids_are_unique_but_for_duplicates_and_these_come_after_their_first(shop: Shop) -> None:
    ids = [
        (json.loads(line)["event_id"], shop.dirt.get((f"events/{path.name}", number), ""), path.stem)
        for path in sorted((shop.feeds / "events").glob("*.jsonl"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if shop.dirt.get((f"events/{path.name}", number), "") != "broken_json"
    ]
    first_day: dict[str, str] = {}
    for event_id, kind, day in ids:
        assert (event_id in first_day) == (kind == "duplicate")
        first_day.setdefault(event_id, day)
    days_after = {
        (date.fromisoformat(day) - date.fromisoformat(first_day[event_id])).days
        for event_id, kind, day in ids
        if kind == "duplicate"
    }
    assert days_after == {0, 1, 2, 3}


def test_late_events_arrive_one_to_three_days_later_and_the_others_on_their_day(shop: Shop) -> None:
    events = shop.good_events
    delay = events["file_day"].map(date.fromisoformat) - events["event_at"].dt.date
    days = delay.map(lambda late: late.days)
    assert set(days[events["dirt"] == "late"]) == {1, 2, 3}
    assert set(days[events["dirt"] == ""]) == {0}


def test_nobody_acts_before_registering_nor_after_asking_to_be_forgotten(shop: Shop) -> None:
    users = shop.truth_table("users").set_index("user_id")
    known = shop.good_events[shop.good_events["user_id"] != ""]
    days = known.groupby("user_id")["event_at"].agg(["min", "max"])
    joined = days.join(users, how="left")
    assert joined["registered_on"].notna().all()
    assert (joined["min"].dt.date >= joined["registered_on"].dt.date).all()
    asked = joined[joined["erasure_requested_on"].notna()]
    assert len(asked) > 0
    assert (asked["max"].dt.date < asked["erasure_requested_on"].dt.date).all()
    rows = [
        row
        for path in sorted((shop.feeds / "erasure_requests").glob("*.csv"))
        for row in csv.DictReader(path.open(encoding="utf-8"))
    ]
    assert {row["user_id"] for row in rows} <= set(users[users["erasure_requested_on"].notna()].index)
    assert all(tuple(row) == FEEDS["erasure_requests"].column_names for row in rows)


def test_empty_consents_are_noted_where_they_stand(shop: Shop) -> None:
    noted, found = set(), set()
    for path in sorted((shop.feeds / "users").glob("*.csv")):
        for number, row in enumerate(csv.DictReader(path.open(encoding="utf-8")), start=1):
            kind = shop.dirt.get((f"users/{path.name}", number), "")
            if kind == "missing_consent":
                noted.add(row["user_id"])
            if not row["has_personalization_consent"]:
                found.add(row["user_id"])
            assert (row["registered_at"] == "yesterday") == (kind == "wrong_type")
    assert noted == found
    assert len(found) > 0


def test_known_rows_give_known_dirt() -> None:
    good = [Row(f"e{n}", json.dumps({"event_id": f"e{n}", "event_at": "2026-08-01T00:00:00Z"})) for n in range(50)]
    nothing = dict.fromkeys(RATES.of_rows(), 0.0)
    rng = np.random.default_rng(1)
    late = soil(rng, good, EVENTS, Rates(**{**nothing, "late": 1.0}))
    assert late.on_time == []
    assert sorted(row.key for rows in late.later.values() for row in rows) == sorted(row.key for row in good)
    # No row here has an item or a user to be wrong about.
    assert soil(rng, good, EVENTS, Rates(**{**nothing, "unknown_item": 1.0})).on_time == good
    clean = soil(rng, good, EVENTS, Rates(**nothing))
    assert clean.on_time == good
    mixed = arrivals(rng, good, [Row("x", "{}", "late"), Row("y", "{}", "late")])
    assert [row for row in mixed if row.dirt == ""] == good
    assert len(mixed) == 52

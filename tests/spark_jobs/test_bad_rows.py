"""The matrix of bad rows: each feed, each reason, with the answers known beforehand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tests.spark_jobs.small_shop import AT, DAY, ITEMS, SmallShop, as_csv, event, pseudonym

TOO_LONG = json.dumps(event("long", query="x" * (1 << 20)))


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


# Rows of the events feed, as they come, with the reason they are refused for; None: they are sound.
EVENTS: list[tuple[dict[str, Any] | str, str | None]] = [
    (event("ok1", quantity=2, unit_price=12.30, query=" 茶 ", event_type="purchase"), None),
    (event("ok2", at=f"{DAY} 10:00:00+08:00", user_id="", event_type="search"), None),
    (without(event("ok3", event_type="impression"), "user_id"), None),
    (event("ok4", at="1793440800000"), None),  # milliseconds
    (event("ok5", at="2026-11-01T23:59:59Z"), None),  # the last second that a file of the 31st may tell of
    (json.dumps(event("x"))[:-1], "malformed"),
    ('["not", "an", "object"]', "malformed"),
    (json.dumps(event("half a character \ud800")), "malformed"),
    (without(event("x"), "event_id"), "missing:event_id"),
    (event("x", at=""), "missing:event_at"),
    (event("x", event_type="  "), "missing:event_type"),
    (without(event("x", event_type="purchase"), "item_id"), "missing:item_id"),
    (event("x", at="10:30"), "wrong_type:event_at"),
    (event("x", at="2026-02-30"), "wrong_type:event_at"),
    (event("x", quantity="two"), "wrong_type:quantity"),
    (event("x") | {"user_id": {"id": "u1"}}, "wrong_type:user_id"),
    (event("x", event_type="look"), "unknown_value:event_type"),
    (event("x", platform="fax"), "unknown_value:platform"),
    (event("x", event_type="rating", rating=6), "out_of_range:rating"),
    (event("x", event_type="rating", rating=float("nan")), "out_of_range:rating"),
    (event("x", event_type="purchase", quantity=-1), "out_of_range:quantity"),
    (event("x", unit_price="-0.01"), "out_of_range:unit_price"),
    (event("x", at="0001-01-01"), "out_of_range:event_at"),
    (event("x", at="2026-11-02T00:00:00Z"), "future_time"),
    (event("x", item_id="i9"), "unknown_item"),
    (event("x", user_id="u9"), "unknown_user"),
    (event("ok1"), "duplicate"),
    (TOO_LONG, "line_too_long"),
]


def test_events(shop: SmallShop) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=True) for row, _ in EVENTS]
    good = [json.dumps(event(f"more{number}")) for number in range(200)]  # or the file as a whole would be refused
    shop.write(f"events/{DAY}.jsonl", "\n".join([*lines, "", *good]))
    shop.write("items/catalogue.csv", ITEMS)
    shop.write("users/users.csv", "user_id,email\nu1,a@b.example\n")
    counts = shop.clean()["events"]

    expected = {number: reason for number, (_, reason) in enumerate(EVENTS, start=1) if reason}
    found = shop.quarantine(f"events/{DAY}.jsonl")
    assert {number: reason for number, (reason, _) in found.items()} == expected
    assert counts["rows"] == len(EVENTS) + 200 == counts["clean"] + len(expected)
    assert found[14][1] == lines[13].replace('"u1"', f'"{pseudonym("u1")}"'), "as it came, but for the user id"
    assert len(found[28][1]) <= 1100
    assert all('"u1"' not in raw for _, raw in found.values())

    rows = {row["event_id"]: row for row in shop.rows("events")}
    first = rows["ok1"]
    assert first["event_at"] == datetime(2026, 10, 31, 10, tzinfo=UTC)
    assert (first["quantity"], first["unit_price"]) == (Decimal("2"), Decimal("12.30"))
    assert (first["query"], first["user_id"]) == ("茶", pseudonym("u1"))
    assert (first["event_date"], first["arrived_on"], first["row_number"]) == (date(2026, 10, 31),) * 2 + (1,)
    assert rows["ok2"]["event_at"] == datetime(2026, 10, 31, 2, tzinfo=UTC)
    assert rows["ok2"]["user_id"] is None
    assert rows["ok3"]["user_id"] is None
    assert rows["ok4"]["event_at"] == datetime(2026, 10, 31, 10, tzinfo=UTC)
    assert rows["ok5"]["event_date"] == date(2026, 11, 1)


def test_every_other_feed(shop: SmallShop) -> None:
    shop.write(f"events/{DAY}.jsonl", [event("e")])
    shop.write(
        f"items/{DAY}.csv",
        as_csv(
            ["item_id", "title", "price", "stock", "is_active", "created_at"],
            ["i1", "A title,\nwith a line's end", "1.50", "12.0", "", AT],
            ["i1", "A title,\nwith a line's end", "1.50", "12.0", "", AT],  # 2: said twice
            ["i2", "first", "1", "", "no", ""],
            ["i2", "second", "1", "", "no", ""],
            ["", "no id", "1", "", "", ""],  # 5
            ["i5", "", "1", "", "", ""],
            ["i6", "t", "cheap", "", "", ""],
            ["i7", "t", "-1", "", "", ""],
            ["i8", "t", "1", "1.5", "", ""],
            ["i9", "t", "1", "1", "maybe", ""],
            ["i10", "t", "1", "1", "", "2026-13-01"],
            ["i11", "t"],
            ["i12", 'a 12" screen', "", "", "", ""],
        ),
    )
    shop.write("users/users.jsonl", [{"user_id": "u1"}, {"user_id": "", "region": "north"}])
    campaign = {"campaign_id": "c1", "name": "n", "starts_on": DAY, "ends_on": DAY}
    shop.write(
        "campaigns/c.jsonl", [campaign, {**campaign, "ends_on": "2026-10-30"}, {**campaign, "starts_on": "?"}]
    )
    rule = {"rule_id": "r1", "action": "pin", "item_id": "i1", "position": 3}
    boost = {"action": "boost", "brand": "b", "factor": 1.5}
    shop.write(
        "merchandising_rules/rules.jsonl",
        [
            rule,
            {**rule, "rule_id": "r2", "action": "hide"},
            {**rule, "rule_id": "r3", "item_id": None, "brand": "b"},
            {**rule, "rule_id": "r4", "position": None},
            {**rule, "rule_id": "r5", "position": 0},
            {"rule_id": "r6", "action": "block"},
            {**boost, "rule_id": "r7", "factor": None},
            {**boost, "rule_id": "r8", "factor": 0},
            {**boost, "rule_id": "r9", "starts_on": DAY, "ends_on": "2026-10-30"},
            {**boost, "rule_id": "r10", "starts_on": DAY},
        ],
    )
    shop.write(
        f"campaign_contacts/{DAY}.csv",
        f"campaign_id,user_id,contacted_at\nc1,u1,{AT}\nc1,,{AT}\nc1,u9,{AT}\nc1,u1,{AT}\nc1,u1,2027-01-01\n",
    )
    review = {"review_id": "r1", "user_id": "u1", "item_id": "i1", "created_at": AT, "rating": 5, "text": "好"}
    shop.write(
        f"reviews/{DAY}.jsonl",
        [
            review,
            review,
            {**review, "review_id": "r2", "rating": 0},
            {**review, "review_id": "r3", "item_id": None},
        ],
    )
    shop.write(f"erasure_requests/{DAY}.csv", f"user_id,requested_at\nu9,{AT}\nu1,soon\n")
    counts = shop.clean()

    def reasons(file: str) -> dict[int, str]:
        return {number: reason for number, (reason, _) in shop.quarantine(file).items()}

    assert reasons(f"items/{DAY}.csv") == {
        2: "duplicate",
        5: "missing:item_id",
        6: "missing:title",
        7: "wrong_type:price",
        8: "out_of_range:price",
        9: "wrong_type:stock",
        10: "wrong_type:is_active",
        11: "wrong_type:created_at",
        12: "malformed",
    }
    assert counts["items"]["set_aside"] == {"superseded": 1}
    items = {row["item_id"]: row for row in shop.rows("items")}
    assert {name: row["title"] for name, row in items.items()} == {
        "i1": "A title,\nwith a line's end",
        "i2": "second",
        "i12": 'a 12" screen',
    }
    assert (items["i1"]["stock"], items["i1"]["is_active"], items["i2"]["is_active"]) == (12, True, False)
    assert reasons("users/users.jsonl") == {2: "missing:user_id"}
    assert reasons("campaigns/c.jsonl") == {2: "out_of_range:ends_on", 3: "wrong_type:starts_on"}
    assert reasons("merchandising_rules/rules.jsonl") == {
        2: "unknown_value:action",
        3: "missing:item_id",
        4: "missing:position",
        5: "out_of_range:position",
        6: "missing:item_id",
        7: "missing:factor",
        8: "out_of_range:factor",
        9: "out_of_range:ends_on",
    }
    assert [(row["rule_id"], row["factor"]) for row in shop.rows("merchandising_rules")] == [
        ("r1", None), ("r10", 1.5),
    ]  # fmt: skip
    assert reasons(f"campaign_contacts/{DAY}.csv") == {
        2: "missing:user_id",
        3: "unknown_user",
        4: "duplicate",
        5: "future_time",
    }
    assert reasons(f"reviews/{DAY}.jsonl") == {2: "duplicate", 3: "out_of_range:rating", 4: "missing:item_id"}
    assert reasons(f"erasure_requests/{DAY}.csv") == {2: "wrong_type:requested_at"}
    assert [row["user_id"] for row in shop.rows("erasure_requests")] == [pseudonym("u9")], "forgotten all the same"


def test_consent_is_asked_for_from_the_first_answer_on(shop: SmallShop) -> None:
    shop.write("items/catalogue.csv", ITEMS)
    shop.write("users/2026-10-29.csv", "user_id\nyes\nno\nsilent\n")
    shop.write("users/2026-10-30.csv", "user_id,has_personalization_consent\nyes,true\nno,false\nsilent,\n")
    shop.write("users/2026-10-31.csv", "user_id,has_personalization_consent\nno,true\n")
    for day in ("2026-10-29", "2026-10-30", "2026-10-31"):
        people = ("yes", "no", "silent")
        shop.write(
            f"events/{day}.jsonl",
            [event(f"{who}-{day}", f"{day}T10:00:00Z", who, session_id="s") for who in people],
        )
        shop.write(
            f"reviews/{day}.jsonl",
            [
                {"review_id": f"{who}-{day}", "user_id": who, "item_id": "i1", "created_at": f"{day}T10:00:00Z"}
                for who in people
            ],
        )
    counts = shop.clean()
    nobody = {
        row["event_id"] for row in shop.rows("events") if row["user_id"] is None and row["session_id"] is None
    }
    assert nobody == {"no-2026-10-30", "silent-2026-10-30", "silent-2026-10-31"}
    assert (counts["events"]["clean"], counts["events"]["anonymised"]) == (9, 3)
    assert {row["review_id"] for row in shop.rows("reviews")}.isdisjoint(nobody)
    assert (counts["reviews"]["clean"], counts["reviews"]["set_aside"]) == (6, {"without_consent": 3})


def test_what_no_column_asks_for_stays_out_of_the_lake(shop: SmallShop) -> None:
    shop.write("items/catalogue.csv", ITEMS)
    rows = [event(f"e{number}", email="a@b.example") for number in range(20)]
    shop.write(f"events/{DAY}.jsonl", [*rows, event("x", at="?", email="a@b.example")])
    shop.clean()
    ((_, raw),) = shop.quarantine(f"events/{DAY}.jsonl").values()
    assert json.loads(raw)["email"] == "(not kept)"
    assert json.loads(raw)["event_at"] == "?"

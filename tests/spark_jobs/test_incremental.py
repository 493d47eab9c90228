"""Day after day: what is new is added, what is known stays, and all at once gives the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from expectations.tables import CLEAN
from qianmian.step import StepError
from spark_jobs import clean, store
from tests.spark_jobs.small_shop import SmallShop, event, pseudonym

FIRST, SECOND, THIRD = "2026-10-29", "2026-10-30", "2026-10-31"


def write_first_days(shop: SmallShop) -> None:
    shop.write(f"items/{FIRST}.csv", "item_id,title\ni1,One\n")
    shop.write(f"items/{SECOND}.csv", "item_id,title\ni1,One\ni2,Two\n")
    shop.write(f"users/{FIRST}.csv", "user_id,has_personalization_consent\nu1,true\nu2,true\nu3,false\n")
    shop.write(
        f"events/{FIRST}.jsonl",
        [
            event("a1", f"{FIRST}T10:00:00Z"),
            event("a2", f"{FIRST}T10:30:00Z"),
            event("a3", f"{FIRST}T11:00:01Z"),
            event("a4", f"{FIRST}T11:00:01Z", item_id="i2"),  # not known yet
        ],
    )
    shop.write(
        f"events/{SECOND}.jsonl", [event("b1", f"{SECOND}T10:00:00Z", item_id="i2"), event("b2", SECOND, "u2")]
    )
    shop.write(f"reviews/{FIRST}.jsonl", [review("r1", "u1", FIRST), review("r2", "u3", FIRST)])
    shop.write(f"campaign_contacts/{SECOND}.csv", f"campaign_id,user_id,contacted_at\nc1,u1,{SECOND}\n")


def write_third_day(shop: SmallShop) -> None:
    shop.write(f"items/{THIRD}.csv", "item_id,title\ni1,One more\ni2,Two\n")
    shop.write(f"users/{THIRD}.csv", "user_id,has_personalization_consent\nu2,false\n")
    shop.write(
        f"events/{THIRD}.jsonl",
        [
            event("c1", f"{FIRST}T10:10:00Z"),  # late
            event("a1", f"{FIRST}T10:00:00Z"),  # told on the first day
            event("a4", f"{FIRST}T11:00:01Z", item_id="i2"),  # refused on the first day, known by now
            event("c2", f"{THIRD}T10:00:00Z", "u2"),  # consents no more
        ],
    )
    shop.write(f"reviews/{THIRD}.jsonl", [review("r2", "u3", THIRD), review("r3", "u2", THIRD)])


def review(review_id: str, user_id: str, day: str) -> dict[str, Any]:
    return {"review_id": review_id, "user_id": user_id, "item_id": "i1", "created_at": day}


def everything(shop: SmallShop) -> dict[str, list[dict[str, Any]]]:
    return {table: shop.rows(table) for table in CLEAN}


def versions(shop: SmallShop) -> dict[str, dict[str, str]]:
    return {t: {p: part["version"] for p, part in shop.manifest(t)["partitions"].items()} for t in CLEAN}


def test_day_after_day(shop: SmallShop) -> None:
    write_first_days(shop)
    shop.clean()
    early, early_versions = everything(shop), versions(shop)
    sessions = {row["event_id"]: row["session_id"] for row in early["events"]}
    assert sessions["a1"] == sessions["a2"], "half an hour is no pause"
    assert sessions["a2"] != sessions["a3"], "a second more is one"
    assert len(set(sessions.values())) == 4
    second_day_files = shop.manifest("events")["partitions"][SECOND]["files"]

    write_third_day(shop)
    counts = shop.clean()
    late = everything(shop)
    for table, rows in late.items():
        assert [row for row in rows if row["arrived_on"] < date.fromisoformat(THIRD)] == early[table], table
    new = {row["event_id"]: row for row in late["events"] if row["arrived_on"] == date.fromisoformat(THIRD)}
    assert {name: row["event_date"].isoformat() for name, row in new.items()} == {
        "c1": FIRST,
        "a4": FIRST,
        "c2": THIRD,
    }
    assert new["c1"]["session_id"] not in sessions.values(), "what is late begins a session of its own"
    assert new["c2"]["user_id"] is None
    assert shop.quarantine(f"events/{THIRD}.jsonl")[2][0] == "duplicate"
    assert [(row["item_id"], row["title"], row["arrived_on"].isoformat()) for row in late["items"]] == [
        ("i1", "One", FIRST),
        ("i2", "Two", SECOND),
        ("i1", "One more", THIRD),
    ]
    assert counts["items"]["set_aside"] == {"unchanged": 2}
    assert counts["reviews"]["set_aside"] == {"without_consent": 3}

    # Only what changed is written.
    late_versions = versions(shop)
    assert shop.manifest("events")["partitions"][SECOND]["files"] == second_day_files
    assert late_versions["events"][SECOND] == early_versions["events"][SECOND]
    assert late_versions["events"][FIRST] != early_versions["events"][FIRST]
    assert late_versions["items"] == {**early_versions["items"], THIRD: late_versions["items"][THIRD]}

    # Nothing to do is found out without Spark: a Java that is not there would stop it.
    before = {table: shop.manifest(table) for table in CLEAN}
    command = [sys.executable, "-m", "spark_jobs.clean", "--lake", str(shop.lake), "--as-of", THIRD]
    subprocess.run(command, check=True, env={**os.environ, "JAVA_HOME": "/nowhere"}, capture_output=True)
    assert json.loads((shop.lake / "runs/by_hand/clean.json").read_text())["files_read"] == 0
    assert {table: shop.manifest(table) for table in CLEAN} == before

    shop.clean(full_refresh=True)
    assert everything(shop) == late
    assert versions(shop) == late_versions
    for table in CLEAN:
        named = {file for part in shop.manifest(table)["partitions"].values() for file in part["files"]}
        folder = shop.lake / "clean" / table
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")} == named, (
            "no left-overs"
        )


def test_a_changed_past_file_is_cleaned_as_if_it_had_always_been_so(shop: SmallShop, tmp_path: Path) -> None:
    write_first_days(shop)
    write_third_day(shop)
    shop.clean()
    shop.write(f"events/{SECOND}.jsonl", [event("c1", f"{FIRST}T10:10:00Z"), event("b3", SECOND, "u2")])
    shop.write(f"items/{SECOND}.csv", "item_id,title\ni1,One\n")  # i2 is known only from the third day on
    shop.clean()

    at_once = SmallShop(tmp_path / "at once")
    at_once.source = shop.source
    at_once.clean()
    assert everything(shop) == everything(at_once)
    assert versions(shop) == versions(at_once)
    assert shop.quarantine(f"events/{THIRD}.jsonl")[1][0] == "duplicate", "now told on the second day"


def test_a_value_that_moves_to_the_next_column_makes_another_version(shop: SmallShop) -> None:
    shop.write("items/catalogue.csv", "item_id,title\ni1,One\n")
    shop.write("users/all.csv", "user_id\nu1\n")
    shop.write(f"events/{FIRST}.jsonl", [event("e1", f"{FIRST}T10:00:00Z", region="HK")])
    shop.clean()
    before = versions(shop)["events"]
    shop.write(f"events/{FIRST}.jsonl", [event("e1", f"{FIRST}T10:00:00Z", recommendation_id="HK")])
    shop.clean()
    assert [(row["region"], row["recommendation_id"]) for row in shop.rows("events")] == [(None, "HK")]
    assert versions(shop)["events"].keys() == before.keys()
    assert versions(shop)["events"] != before


def test_a_table_of_other_columns_is_cleaned_anew_and_keeps_its_rows(shop: SmallShop) -> None:
    write_first_days(shop)
    write_third_day(shop)
    shop.clean()
    rows, made = everything(shop), versions(shop)
    of_other_columns = {**shop.manifest("items"), "columns_hash": "of other columns"}
    (shop.lake / "clean" / "items" / "_manifest.json").write_text(json.dumps(of_other_columns))
    of_earlier_release = {**shop.manifest("events"), "partitions": {}}
    for value, part in shop.manifest("events")["partitions"].items():
        of_earlier_release["partitions"][value] = {**part, "version": "hashed otherwise"}
    del of_earlier_release["columns_hash"]
    (shop.lake / "clean" / "events" / "_manifest.json").write_text(json.dumps(of_earlier_release))
    assert clean.main(shop.args())["files_read"] == 3 + 3, "the files of items, then of events"
    assert everything(shop) == rows
    assert versions(shop) == made
    assert clean.main(shop.args())["files_read"] == 0


def test_rows_that_stood_are_missed_before_anything_is_committed(
    shop: SmallShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the driver does not see one of the files that an executor wrote."""
    write_first_days(shop)
    shop.clean()
    write_third_day(shop)  # with a late event, so that the first day's partition is written again
    before = shop.manifest("events")
    write_rows = store.write_rows

    def lossy(rows: Any, *where: Any) -> dict[str, list[str]]:
        return write_rows(rows.where(f"source_file != 'events/{FIRST}.jsonl'"), *where)

    monkeypatch.setattr(store, "write_rows", lambda rows, folder, table, commit_id: (
        lossy if table == "events" else write_rows
    )(rows, folder, table, commit_id))  # fmt: skip
    with pytest.raises(RuntimeError, match=r"events: its files have \d+ clean rows"):
        shop.clean()
    assert shop.manifest("events") == before


def test_another_pseudonym_key_is_noticed(shop: SmallShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("items/catalogue.csv", "item_id,title\ni1,One\n")
    shop.write("events/2026-10-29.csv", f"event_id,event_at,user_id,event_type\ne1,{FIRST},u1,view\n")
    shop.clean()
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", "another key of good length")
    with pytest.raises(StepError, match="another pseudonym key"):
        shop.clean()


def test_undated_files_count_as_always_known(shop: SmallShop) -> None:
    shop.write("items/catalogue.csv", "item_id,title\ni1,One\n")
    shop.write("users/all.csv", "user_id\nu1\n")
    shop.write(
        "events/history.csv", f"event_id,event_at,user_id,event_type\ne1,{FIRST},u1,view\ne2,{SECOND},u1,view\n"
    )
    shop.write(f"events/{THIRD}.jsonl", [event("e3", THIRD), event("e1", THIRD)])
    shop.clean()
    arrivals = {row["event_id"]: row["arrived_on"].isoformat() for row in shop.rows("events")}
    assert arrivals == {"e1": FIRST, "e2": SECOND, "e3": THIRD}
    assert {row["arrived_on"] for row in shop.rows("items") + shop.rows("users")} == {date(1970, 1, 1)}
    assert shop.rows("users")[0]["user_id"] == pseudonym("u1")
    times = {row["event_id"]: row["event_at"] for row in shop.rows("events")}
    assert times["e1"] == datetime.fromisoformat(f"{FIRST}T00:00:00Z")

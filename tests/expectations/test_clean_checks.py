"""Checks of the clean tables on a small shop: sound data passes, each defect is named by its check."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expectations.results import Result
from expectations.run import check_clean, main
from expectations.tables import OUTPUTS, outputs_dir, run_dir
from expectations.validator import Validator
from qianmian.step import StepError
from tests.expectations.conftest import AS_OF, DAY, clean_rows, table_results, write_clean

pytestmark = pytest.mark.usefixtures("one_validator")


def not_passed(results: list[Result]) -> dict[str, str]:
    return {result.check_name: result.status for result in results if result.status != "passed"}


def sound(day: date = DAY) -> dict[str, Any]:
    """A day without a single warning: nothing is in quarantine."""
    return {**clean_rows(day), "quarantine": []}


def test_sound_tables_pass_and_leave_results_and_page(lake: Path) -> None:
    write_clean(lake, sound())
    results = check_clean(lake, AS_OF, "r1")
    assert not_passed(results) == {}
    file = outputs_dir(lake, AS_OF) / "data_quality_results_clean.parquet"
    table = pq.read_table(file)
    assert tuple(table.column_names) == (*OUTPUTS["data_quality_results"].column_names, "model_version")
    assert table.num_rows == len(results)
    events = {row["check_name"]: row for row in table.to_pylist() if row["table_name"] == "events"}
    assert events["Every event has its time"]["rows_checked"] == 12
    assert events["There are events of the day"]["observed"] == "12 events"
    assert {row["status"] for row in table.to_pylist() if row["table_name"] == "reviews"} == {"passed"}
    assert (run_dir(lake, "r1") / "checks_clean.html").exists()


@pytest.mark.parametrize(
    ("table", "change", "check", "status"),
    [
        ("events", {"unit_price": -1}, "Every order line has a price that is not negative", "failed"),
        ("events", {"quantity": 0}, "Every quantity is above zero", "failed"),
        ("events", {"event_type": "teleport"}, "Every event is of a kind that is known", "failed"),
        ("events", {"event_at": None}, "Every event has its time", "failed"),
        ("events", {"user_id": "alice@example.com"}, "No event names a user as the shop does", "failed"),
        ("events", {"rating": 6.0}, "Every rating is of 1 to 5 stars", "failed"),
        ("events", {"currency": "yuan"}, "Every currency is a three letter code", "warning"),
        ("events", {"item_id": "unheard of"}, "Events are of items in the catalogue", "warning"),
        ("items", {"title": " "}, "Every title can be read", "warning"),
        ("items", {"price": -1}, "Every price is not negative", "failed"),
        ("users", {"language": "fr"}, "Every language is Chinese or English", "warning"),
    ],
)
def test_a_defect_is_named(
    lake: Path, validator: Validator, table: str, change: dict[str, Any], check: str, status: str
) -> None:
    tables = sound()
    tables[table][0] |= change
    write_clean(lake, tables)
    found = table_results(lake, table, validator).values()
    # Yuan instead of CNY is a second currency too.
    also = {"All money is in one currency": "warning"} if change == {"currency": "yuan"} else {}
    assert not_passed(list(found)) == {check: status, **also}


def test_a_key_twice(lake: Path, validator: Validator) -> None:
    tables = sound()
    tables["events"].append(tables["events"][0])
    write_clean(lake, tables)
    result = table_results(lake, "events", validator)["No event stands twice"]
    assert (result.status, result.rows_checked) == ("failed", 13)
    assert result.observed == f"1 keys twice, such as {DAY}-0-0"


def test_an_anonymous_visitor_is_no_defect(lake: Path, validator: Validator) -> None:
    tables = sound()
    tables["events"][0]["user_id"] = None
    write_clean(lake, tables)
    assert not_passed(list(table_results(lake, "events", validator).values())) == {}


def test_nothing_to_sell(lake: Path, validator: Validator) -> None:
    tables = sound()
    for item in tables["items"]:
        item["stock"] = 0
    write_clean(lake, tables)
    assert table_results(lake, "items", validator)["Some item may be sold"].status == "failed"


def test_rows_unaccounted_for_and_a_full_quarantine(lake: Path, validator: Validator) -> None:
    counts = {"rows": 20, "clean": 12, "quarantined": {"malformed": 2}, "set_aside": {"not_a_product": 1}}
    write_clean(lake, clean_rows(), counts={f"events/{AS_OF}.jsonl": counts})
    found = table_results(lake, "events", validator) | table_results(lake, "quarantine", validator)
    lost = found["Every row handed over is clean, in quarantine or set aside by name"]
    assert (lost.status, lost.observed) == ("failed", f"5 rows unaccounted for, such as events/{AS_OF}.jsonl")
    assert found["Few of the rows handed over are in quarantine"].observed.startswith("10% of the rows")
    assert found["Few of the rows handed over are in quarantine"].status == "warning"
    assert found["The quarantine holds every row that was counted as rejected"].observed == "1 rows missing"


def test_a_missing_column_is_named_not_raised(lake: Path, validator: Validator) -> None:
    write_clean(lake, sound())
    file = next((lake / "clean" / "events").rglob("*.parquet"))
    pq.write_table(pq.read_table(file).drop_columns(["unit_price"]), file)
    results = table_results(lake, "events", validator)
    shape = results["Every column is there, typed as agreed"]
    assert (shape.status, shape.observed) == ("failed", "1 columns otherwise, such as unit_price is missing")
    price = results["Every order line has a price that is not negative"]
    assert (price.status, price.observed) == ("failed", "the column unit_price is missing")


def test_work_follows_new_files_and_the_same_day_again_checks_the_same(lake: Path) -> None:
    yesterday = DAY - timedelta(days=1)
    both = {name: [*clean_rows(yesterday)[name], *sound()[name]] for name in ("events", "items", "users")}
    write_clean(lake, both)

    def rows_of_events(as_of: date) -> int:
        results = check_clean(lake, as_of.isoformat(), "r")
        return next(r.rows_checked for r in results if r.check_name == "Every event has its time")

    assert rows_of_events(yesterday) == 12
    assert rows_of_events(DAY) == 12, "only the files that yesterday's check had not seen"
    assert rows_of_events(DAY) == 12
    assert rows_of_events(yesterday) == 12

    # A file of yesterday is corrected: today's check looks at it too.
    both["events"][0] |= {"quantity": 3}
    corrected = clean_rows(yesterday)["events"][0] | {"event_id": "late", "row_number": 99}
    write_clean(lake, {**both, "events": [*both["events"], corrected]})
    assert rows_of_events(DAY) == 25


def test_a_day_that_failed_is_checked_again_by_the_next(lake: Path) -> None:
    yesterday = DAY - timedelta(days=1)
    both = {name: [*clean_rows(yesterday)[name], *sound()[name]] for name in ("events", "items")}
    both["events"][0] |= {"unit_price": -1}
    write_clean(lake, both)
    price = "Every order line has a price that is not negative"
    assert not_passed(check_clean(lake, yesterday.isoformat(), "r1"))[price] == "failed"
    assert not_passed(check_clean(lake, AS_OF, "r2"))[price] == "failed"


def test_nothing_later_than_the_day_is_seen(lake: Path, validator: Validator) -> None:
    tables = {name: [*sound()[name], *sound(DAY + timedelta(days=1))[name]] for name in ("events", "items")}
    tables["events"][-1] |= {"unit_price": -1}
    late = sound()["events"][0] | {"event_id": "late", "arrived_on": DAY + timedelta(days=1), "unit_price": -1}
    tables["events"].append(late | {"source_file": f"events/{DAY + timedelta(days=1)}.jsonl"})
    write_clean(lake, tables)
    assert not_passed(list(table_results(lake, "events", validator).values())) == {}


def test_a_day_unlike_the_usual(lake: Path, validator: Validator) -> None:
    tables = sound()
    for back in range(1, 10):
        tables["events"] += clean_rows(DAY - timedelta(days=back))["events"]
    tables["events"] = [e for e in tables["events"] if e["event_date"] != DAY or e["event_id"].endswith("0-0")]
    write_clean(lake, tables)
    found = table_results(lake, "events", validator)
    usual = found["The day has about as many events as usual"]
    assert (usual.status, usual.observed[:13]) == ("warning", "0.08333333333")


def test_the_command_says_what_failed_and_what_to_do(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = sound()
    tables["events"][2] |= {"unit_price": -4}
    write_clean(lake, tables)
    with pytest.raises(SystemExit) as ended:
        main(["--stage", "clean", "--lake", str(lake), "--as-of", AS_OF, "--run-id", "r1"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "events: Every order line has a price that is not negative" in said
    assert "seen: 1 of 12 rows do not, such as -4.0; asked: at least 0" in said
    assert "checks_clean.html" in said
    assert "Traceback" not in said
    assert (outputs_dir(lake, AS_OF) / "data_quality_results_clean.parquet").exists()


def test_the_command_reports(lake: Path) -> None:
    write_clean(lake, clean_rows())
    main(["--stage", "clean", "--lake", str(lake), "--as-of", AS_OF, "--run-id", "r1"])
    report = json.loads((run_dir(lake, "r1") / "check_clean.json").read_text())
    assert report["warnings"] == 1
    assert report["passed"] == report["checks"] - 1


def test_a_lake_without_events(lake: Path) -> None:
    with pytest.raises(StepError, match="no clean table events"):
        check_clean(lake, AS_OF, "r1")


def test_big_tables_are_checked_in_chunks(
    lake: Path, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.results.CHUNK_ROWS", 5)
    tables = sound()
    tables["events"][0] |= {"unit_price": -1}
    tables["events"][11] |= {"unit_price": -2}
    write_clean(lake, tables)
    found = table_results(lake, "events", validator)
    price = found["Every order line has a price that is not negative"]
    assert (price.observed, price.rows_checked) == ("2 of 12 rows do not, such as -1.0, -2.0", 12)


def test_nothing_is_written_outside_the_lake(
    lake: Path, monkeypatch: pytest.MonkeyPatch, fresh_home: Callable[[], list[Path]]
) -> None:
    monkeypatch.setattr("expectations.run.Validator", Validator)
    write_clean(lake, sound())
    check_clean(lake, AS_OF, "r1")
    assert fresh_home() == []
    assert sorted(path.name for path in lake.iterdir()) == ["clean", "outputs", "runs"]

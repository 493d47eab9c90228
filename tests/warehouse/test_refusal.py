"""Refusals: the tables in place stay, and the reason can be read beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from expectations.tables import HISTORIES, PUBLISHED, clean_dir
from tests.candidate_tables import GENERATED_AT, check_result, write_check_results
from warehouse.rebuild import rebuild
from warehouse.record_refusal import main, record_refusal

Query = Callable[[str], list[tuple[Any, ...]]]
RunDay = Callable[..., dict[str, Any]]
LATER = GENERATED_AT + timedelta(days=1)
FAILED = check_result(check_name="Some item may be sold", table_name="items", status="failed", observed="0 items")


def test_yesterdays_tables_stay(run_day: RunDay, query: Query, lake: Path, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    before = {name: query(f"select * from {name} order by all") for name in PUBLISHED}
    write_check_results(lake, "2026-11-01", "r2", [check_result(), FAILED], stage="_clean")
    record_refusal(
        lake, "2026-11-01", "r2", warehouse, LATER, "check_clean", "1 check failed:\nSome item may be sold"
    )

    assert {name: query(f"select * from {name} order by all") for name in PUBLISHED} == before
    assert query("select run_id, status, is_latest, published_at is null from pipeline_runs order by 1") == [
        ("r1", "published", True, False),
        ("r2", "refused", False, True),
    ]
    assert query("select decision from pipeline_runs where run_id = 'r2'") == [
        (
            "Refused: check_clean did not pass: 1 check failed: Some item may be sold. "
            "The tables in place stay those of 2026-10-31.",
        )
    ]
    assert query("select run_id, table_name, check_name, observed, status from refused_checks") == [
        ("r2", "items", "Some item may be sold", "0 items", "failed")
    ]


def test_the_first_run_of_all_refused(query: Query, lake: Path, warehouse: Path) -> None:
    record_refusal(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "land", "events/ is empty")
    assert [query(f"select count(*) from {name}") for name in PUBLISHED] == [[(0,)]] * len(PUBLISHED)
    assert query("select count(*) from user_portraits_history") == [(0,)]
    assert "Nothing is published yet" in query("select decision from pipeline_runs")[0][0]


def test_checks_of_an_earlier_run_of_the_day_are_not_taken_for_this_one(
    query: Query, lake: Path, warehouse: Path
) -> None:
    write_check_results(lake, "2026-10-31", "r1", [FAILED], stage="_clean")
    record_refusal(lake, "2026-10-31", "r2", warehouse, GENERATED_AT, "clean", "out of disk")
    assert query("select count(*) from refused_checks") == [(0,)]


def test_a_published_run_refused_afterwards_keeps_its_row(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    record_refusal(lake, "2026-10-31", "r1", warehouse, LATER, "clean", "a feed broke")
    status, latest, decision = query("select status, is_latest, decision from pipeline_runs")[0]
    assert (status, latest) == ("published", True)
    assert decision.endswith(
        "Run again and refused: clean did not pass: a feed broke. What it had published stays."
    )
    assert query("select count(*) from user_portraits") == query("select count(*) from user_portraits_history")


def test_a_refused_run_that_publishes_at_last(run_day: RunDay, query: Query, lake: Path, warehouse: Path) -> None:
    write_check_results(lake, "2026-10-31", "r1", [FAILED], stage="_clean")
    record_refusal(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "check_clean", "failed")
    assert query("select count(*) from refused_checks") == [(1,)]
    run_day("2026-10-31", "r1")
    assert query("select run_id, status from pipeline_runs") == [("r1", "published")]
    assert query("select count(*) from refused_checks") == [(0,)]


def test_a_long_reason_is_cut(query: Query, lake: Path, warehouse: Path) -> None:
    record_refusal(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "clean", "很长 " * 3000)
    assert 2000 < len(query("select decision from pipeline_runs")[0][0]) < 2100


def test_a_damaged_lake_is_still_told(query: Query, lake: Path, warehouse: Path) -> None:
    manifest = clean_dir(lake, "events") / "_manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"table": "events", "inp')
    record_refusal(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "clean", "manifest is damaged")
    assert query("select status, rows_in from pipeline_runs") == [("refused", None)]


def test_a_lost_warehouse_is_made_again_from_the_lake(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2", users=4)
    write_check_results(lake, "2026-11-02", "r3", [FAILED], stage="_clean")
    record_refusal(lake, "2026-11-02", "r3", warehouse, LATER, "check_clean", "failed")
    names = [*PUBLISHED, "pipeline_runs", "refused_checks", *(one.name for one in HISTORIES.values())]
    before = {name: query(f"select * from {name} order by all") for name in names}
    warehouse.unlink()
    rebuild(lake, warehouse)
    assert {name: query(f"select * from {name} order by all") for name in names} == before


def test_a_damaged_warehouse_does_not_stop_the_next_run(run_day: RunDay, query: Query, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    warehouse.write_bytes(b"not a database")
    run_day("2026-11-01", "r2")
    assert query("select run_id from pipeline_runs order by 1") == [("r1",), ("r2",)]


def test_command(query: Query, lake: Path, warehouse: Path) -> None:
    run = ["--lake", str(lake), "--as-of", "2026-10-31", "--run-id", "r1", "--warehouse", str(warehouse)]
    main([*run, "--generated-at", "2026-11-01T08:00:00+08:00", "--failed-step", "clean", "--why=- out of disk"])
    assert query("select generated_at::text from pipeline_runs") == [("2026-11-01 00:00:00",)]

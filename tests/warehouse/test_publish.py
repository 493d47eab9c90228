"""Publishing: what stands afterwards, what a past day may change, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import DATA_FRESHNESS, PIPELINE_RUNS, PUBLISHED, REFUSED_CHECKS, history_dir
from qianmian.step import StepError
from tests.candidate_tables import (
    GENERATED_AT,
    candidate_tables,
    check_result,
    write_candidates,
    write_check_results,
)
from warehouse.publish import publish
from warehouse.runs import recorded_runs

ROWS = {
    "user_portraits": 3,
    "user_traits": 3,
    "taste_segments": 1,
    "item_portraits": 25,
    "home_recommendations": 60,
    "recommendation_explanations": 120,
    "recommendation_filters": 3,
    "homepage_layouts": 60,
    "similar_items": 5,
    "hot_items": 10,
    "model_metrics": 6,
    "data_quality_results": 1,
}
Query = Callable[[str], list[tuple[Any, ...]]]
RunDay = Callable[..., dict[str, Any]]


def test_first_run_stands_with_types_descriptions_and_history(run_day: RunDay, query: Query) -> None:
    assert run_day("2026-10-31", "r1")["rows"] == ROWS

    assert {name: query(f"select count(*) from {name}")[0][0] for name in ROWS} == ROWS
    assert query("select distinct as_of_date::text, run_id from user_portraits_history") == [("2026-10-31", "r1")]
    described = query(
        "select table_name, column_name, data_type, is_nullable, comment from duckdb_columns()"
        " where not internal and not ends_with(table_name, '_history') and table_name <> 'data_freshness'"
        " order by table_name, column_index"
    )
    types = {
        "string": "VARCHAR",
        "integer": "BIGINT",
        "double": "DOUBLE",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
    }
    tables = sorted([*PUBLISHED.values(), PIPELINE_RUNS, REFUSED_CHECKS], key=lambda table: table.name)
    assert described == [
        (table.name, c.name, types[c.type], not c.required, c.description)
        for table in tables
        for c in table.columns
    ]
    assert all(row[0] for row in query("select comment from duckdb_tables()"))
    assert query("select generated_at from user_portraits limit 1") == [(GENERATED_AT,)]


def test_pipeline_run_tells_what_was_published(run_day: RunDay, query: Query, lake: Path) -> None:
    run_day("2026-10-31", "r1")
    status, decision, latest, rows, versions, config, published, generated = query(
        "select status, decision, is_latest, published_rows, model_version, config_hash, published_at,"
        " generated_at from pipeline_runs"
    )[0]
    assert (status, latest, rows, config) == ("published", True, sum(ROWS.values()), "c" * 64)
    assert decision == "Published: 297 rows in 12 tables, every check passed."
    assert "home_recommendations=test-1" in versions
    assert "data_quality_results=suites-1" in versions
    assert generated == GENERATED_AT < published
    assert [run.run_id for run in recorded_runs(lake)] == ["r1"]


def test_next_day_replaces_the_tables_and_adds_to_history(run_day: RunDay, query: Query) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2", users=4)
    assert query("select distinct run_id from home_recommendations") == [("r2",)]
    assert query("select run_id, is_latest from pipeline_runs order by run_id") == [("r1", False), ("r2", True)]
    assert query("select run_id, count(*) from user_portraits_history group by 1 order by 1") == [
        ("r1", 3),
        ("r2", 4),
    ]


def test_a_past_day_changes_history_only(run_day: RunDay, query: Query) -> None:
    run_day("2026-11-01", "later", users=4)
    before = {name: query(f"select * from {name} order by all") for name in PUBLISHED}
    run_day("2026-10-30", "past", users=2)
    assert {name: query(f"select * from {name} order by all") for name in PUBLISHED} == before
    assert query("select run_id, is_latest from pipeline_runs where is_latest") == [("later", True)]
    assert query("select run_id, count(*) from user_portraits_history group by 1 order by 1") == [
        ("later", 4),
        ("past", 2),
    ]
    assert "stay those of 2026-11-01" in query("select decision from pipeline_runs where run_id = 'past'")[0][0]


def test_same_day_twice_keeps_the_last_and_the_superseded_files_one_publishing_longer(
    run_day: RunDay, query: Query, lake: Path
) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-10-31", "r2", users=5)
    assert query("select distinct run_id from user_portraits_history") == [("r2",)]
    folder = history_dir(lake, "user_portraits", "2026-10-31")
    assert sorted(path.name.split("~")[0] for path in folder.iterdir()) == ["r1", "r2"]
    run_day("2026-11-01", "r3")
    assert [path.name.split("~")[0] for path in folder.iterdir()] == ["r2"]
    assert query("select run_id, count(*) from user_portraits_history group by 1 order by 1") == [
        ("r2", 5),
        ("r3", 3),
    ]


def test_the_same_run_again_has_one_row(run_day: RunDay, query: Query) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-10-31", "r1")
    assert query("select run_id, status, is_latest from pipeline_runs") == [("r1", "published", True)]


def test_a_reader_keeps_the_file_it_has_open(run_day: RunDay, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        run_day("2026-10-31", "r2", users=4)
        assert reader.execute("select distinct run_id from user_portraits").fetchall() == [("r1",)]
        assert reader.execute(
            "select distinct run_id, count(*) over () from user_portraits_history"
        ).fetchall() == [("r1", 3)]


def test_a_warehouse_open_for_writing_elsewhere_does_not_stop_publishing(
    run_day: RunDay, query: Query, warehouse: Path, hold_open: Callable[[Path], None]
) -> None:
    run_day("2026-10-31", "r1")
    hold_open(warehouse)
    run_day("2026-11-01", "r2")
    assert query("select run_id from pipeline_runs order by 1") == [("r1",), ("r2",)]
    assert not warehouse.with_name("warehouse.duckdb.wal").exists()


def test_odd_names_of_runs_and_folders(tmp_path: Path) -> None:
    lake, warehouse = tmp_path / "it's [a] lake" / "lake", tmp_path / "it's [a] lake" / "w.duckdb"
    run_id = "manual__2026-11-01T06:00:00+00:00"
    write_candidates(lake, candidate_tables("2026-10-31", run_id))
    write_check_results(lake, "2026-10-31", run_id, [check_result()])
    publish(lake, "2026-10-31", run_id, warehouse, GENERATED_AT, "c")
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        assert connection.execute("select distinct run_id from user_portraits_history").fetchall() == [(run_id,)]


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("hot_items", lambda rows: rows[0].update(run_id="another"), "belong to another run or day"),
        ("user_portraits", lambda rows: rows.append(rows[0]), "more than once"),
        ("user_portraits", lambda rows: rows[0].update(segment=None), "segment (1 rows)"),
        ("home_recommendations", lambda rows: rows.clear(), "home_recommendations has no rows"),
    ],
)
def test_a_set_that_is_not_whole_is_not_published(
    lake: Path, warehouse: Path, table: str, change: Callable[[Any], None], said: str
) -> None:
    tables = candidate_tables("2026-10-31", "r1")
    change(tables[table])
    write_candidates(lake, tables)
    write_check_results(lake, "2026-10-31", "r1", [check_result()])
    with pytest.raises(StepError) as error:
        publish(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "c")
    assert said in error.value.what
    assert not warehouse.exists()


def test_checks_of_another_run_do_not_count(lake: Path, warehouse: Path) -> None:
    write_candidates(lake, candidate_tables("2026-10-31", "r2"))
    write_check_results(lake, "2026-10-31", "r1", [check_result()])
    with pytest.raises(StepError, match="does not hold the checks of run r2"):
        publish(lake, "2026-10-31", "r2", warehouse, GENERATED_AT, "c")


def test_a_missing_table_is_named(lake: Path, warehouse: Path) -> None:
    tables = candidate_tables("2026-10-31", "r1")
    del tables["similar_items"]
    write_candidates(lake, tables)
    write_check_results(lake, "2026-10-31", "r1", [check_result()])
    with pytest.raises(StepError, match="similar_items was not built"):
        publish(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "c")


def test_data_freshness_answers_in_one_row(run_day: RunDay, query: Query) -> None:
    run_day("2026-10-31", "r1")
    asked = (
        "select as_of_date::text, run_id, days_old = current_date - date '2026-10-31', is_fresh, last_run_id,"
        " last_run_status from data_freshness"
    )
    is_fresh = query("select current_date - date '2026-10-31' <= 1")[0][0]
    assert query(asked) == [("2026-10-31", "r1", True, is_fresh, "r1", "published")]
    described = query("select column_name, comment from duckdb_columns() where table_name = 'data_freshness'")
    assert described == [(c.name, c.description) for c in DATA_FRESHNESS.columns]

"""A shop that was published before `pipeline_runs` had `ended_at` goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.candidate_tables import GENERATED_AT
from tests.warehouse.conftest import Query
from tests.warehouse.earlier_release import as_before_ended_at
from warehouse.freshness import check_freshness
from warehouse.rebuild import rebuild
from warehouse.record_refusal import record_refusal
from warehouse.rollback import rollback

RunDay = Callable[..., dict[str, Any]]
REFUSED_AT = GENERATED_AT + timedelta(hours=3)
ENDED = "select run_id, ended_at = coalesce(published_at, generated_at) from pipeline_runs order by run_id"


@pytest.fixture
def older(run_day: RunDay, lake: Path, warehouse: Path) -> None:
    """Two days and a refusal, as the earlier release left them."""
    run_day("2026-10-30", "r1")
    run_day("2026-10-31", "r2")
    record_refusal(lake, "2026-11-01", "r3", warehouse, REFUSED_AT, "check_tables", "a check did not hold")
    as_before_ended_at(warehouse, lake)


@pytest.mark.usefixtures("older")
def test_the_warehouse_in_place_is_read_as_it_is(warehouse: Path) -> None:
    row = check_freshness(warehouse, "2026-10-31")
    assert (row["run_id"], row["last_run_id"]) == ("r2", "r3")


@pytest.mark.usefixtures("older")
def test_the_next_run_fills_what_is_known(run_day: RunDay, query: Query, lake: Path) -> None:
    run_day("2026-11-01", "r4", users=4)
    assert query(ENDED) == [("r1", True), ("r2", True), ("r3", True), ("r4", True)]
    assert query("select ended_at from pipeline_runs where run_id = 'r3'") == [(REFUSED_AT,)]
    freshness = "select run_id, last_run_id, last_refused_run_id, is_refused_since from data_freshness"
    assert query(freshness) == [("r4", "r4", "r3", False)]
    assert query("select count(distinct as_of_date) from user_portraits_history") == [(3,)]
    records = [json.loads(file.read_text()) for file in (lake / "published" / "pipeline_runs").glob("*.json")]
    assert all(record["ended_at"] for record in records)
    assert len(records) == 4


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize("damage", [Path.unlink, lambda warehouse: warehouse.write_bytes(b"not a database")])
def test_its_records_alone_are_enough(
    query: Query, lake: Path, warehouse: Path, damage: Callable[[Path], object]
) -> None:
    damage(warehouse)
    rebuild(lake, warehouse)
    assert query(ENDED) == [("r1", True), ("r2", True), ("r3", True)]


@pytest.mark.usefixtures("older")
def test_going_back_works_and_changes_no_end(query: Query, lake: Path, warehouse: Path) -> None:
    assert rollback(lake, warehouse, "a test")["standing"] == "r1"
    assert query(ENDED) == [("r1", True), ("r2", True), ("r3", True)]

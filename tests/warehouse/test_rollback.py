"""Taking the latest run back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qianmian.step import StepError
from warehouse.history import history_file
from warehouse.rollback import rollback
from warehouse.runs import PipelineRun, recorded_runs

RunDay = Callable[..., dict[str, Any]]
Query = Callable[[str], list[tuple[Any, ...]]]


def test_the_day_before_stands_again(run_day: RunDay, query: Query, lake: Path, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2", users=4)
    assert rollback(lake, warehouse, "prices were wrong")["standing"] == "r1"
    assert query("select distinct run_id, count(*) from user_portraits group by 1") == [("r1", 3)]
    assert query("select distinct run_id from user_portraits_history") == [("r1",)]
    rows = query("select run_id, status, is_latest from pipeline_runs order by 1")
    assert rows == [("r1", "published", True), ("r2", "rolled_back", False)]
    assert query("select decision from pipeline_runs where run_id = 'r2'")[0][0].endswith(
        "Taken back: prices were wrong"
    )
    assert [run.status for run in recorded_runs(lake)] == ["published", "rolled_back"]


def test_the_days_earlier_run_stands_again(run_day: RunDay, query: Query, lake: Path, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-10-31", "r2", users=4)
    assert rollback(lake, warehouse, "x")["standing"] == "r1"
    assert query("select distinct run_id from home_recommendations") == [("r1",)]


def test_what_is_lost_is_passed_over(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, recorded: Callable[[str], PipelineRun]
) -> None:
    for day in (30, 31):
        run_day(f"2026-10-{day}", f"r{day}")
    run_day("2026-11-01", "r32")
    history_file(lake, "hot_items", recorded("r31")).unlink()
    assert rollback(lake, warehouse, "x")["standing"] == "r30"
    assert query("select status from pipeline_runs where run_id = 'r31'") == [("rolled_back",)]


def test_a_run_taken_back_can_be_published_again(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2")
    rollback(lake, warehouse, "x")
    run_day("2026-11-01", "r2", users=5)
    assert query("select run_id, count(*) from user_portraits group by 1") == [("r2", 5)]


def test_nothing_before_it_leaves_all_as_it_was(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    with pytest.raises(StepError, match="no set of tables"):
        rollback(lake, warehouse, "x")
    assert query("select status, is_latest from pipeline_runs") == [("published", True)]


def test_the_command_says_what_stands(run_day: RunDay, lake: Path, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2")
    command = [sys.executable, "-m", "warehouse.rollback", "--lake", str(lake), "--warehouse", str(warehouse)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "Run r2 was taken back.\nThe tables of 2026-10-31 stand (run r1).\n"
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2
    assert "WHAT TO DO: Run the day again" in again.stderr

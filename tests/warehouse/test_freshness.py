"""Is today's data there, how old, from which run, was one refused and why: as the view and the step say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qianmian.step import StepError
from tests.candidate_tables import GENERATED_AT
from tests.warehouse.conftest import Query
from warehouse.freshness import check_freshness
from warehouse.record_refusal import record_refusal

RunDay = Callable[..., dict[str, Any]]
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date()
BEFORE = YESTERDAY - timedelta(days=1)


def refuse(lake: Path, warehouse: Path, day: object, run_id: str, hours: int) -> None:
    started = GENERATED_AT + timedelta(hours=hours)
    record_refusal(lake, str(day), run_id, warehouse, started, "check_tables", "a check did not hold")


def test_the_view_says_how_old_the_tables_are(run_day: RunDay, query: Query) -> None:
    run_day(str(YESTERDAY), "r1")
    row = query(
        "select run_id, days_old, is_fresh, hours_since_published, last_refused_run_id, is_refused_since"
        " from data_freshness"
    )[0]
    assert row[:3] == ("r1", 1, True)
    assert 0 <= row[3] < 0.1
    assert row[4:] == (None, False)


def test_the_view_says_what_was_refused_since_and_why(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path
) -> None:
    run_day(str(BEFORE), "r1")
    refuse(lake, warehouse, YESTERDAY, "r2", hours=5)
    asked = (
        "select run_id, is_fresh, last_run_status, last_refused_run_id, last_refused_as_of_date,"
        " is_refused_since, last_refused_decision from data_freshness"
    )
    row = query(asked)[0]
    assert row[:6] == ("r1", False, "refused", "r2", YESTERDAY, True)
    assert row[6].startswith("Refused: check_tables did not pass: a check did not hold")
    # What was refused and then mended is history: the last run and the last refusal are told apart.
    refuse(lake, warehouse, BEFORE, "r0", hours=-5)
    run_day(str(YESTERDAY), "r3")
    run_day(str(YESTERDAY), "r4")
    assert query("select is_refused_since, last_refused_run_id from data_freshness") == [(True, "r2")]


def test_a_refusal_before_what_stands_is_no_news(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path
) -> None:
    refuse(lake, warehouse, YESTERDAY, "r0", hours=-5)
    assert query("select run_id, is_refused_since from data_freshness") == [(None, True)]
    run_day(str(YESTERDAY), "r1")
    assert query("select run_id, is_refused_since, last_refused_run_id from data_freshness") == [
        ("r1", False, "r0")
    ]


def test_the_step_passes_where_the_day_is_there(run_day: RunDay, warehouse: Path) -> None:
    run_day(str(YESTERDAY), "r1")
    assert check_freshness(warehouse, str(YESTERDAY))["run_id"] == "r1"
    assert check_freshness(warehouse, str(BEFORE))["run_id"] == "r1"  # a later day is there as well


def test_the_step_says_what_is_there_instead(run_day: RunDay, lake: Path, warehouse: Path) -> None:
    with pytest.raises(StepError, match="nothing was ever published"):
        check_freshness(warehouse, str(YESTERDAY))
    run_day(str(BEFORE), "r1")
    refuse(lake, warehouse, YESTERDAY, "r2", hours=5)
    with pytest.raises(StepError, match=rf"those in place are of {BEFORE}.* run, r2 of {YESTERDAY}, is refused: "):
        check_freshness(warehouse, str(YESTERDAY))


def test_as_a_command_it_ends_with_two(run_day: RunDay, lake: Path, warehouse: Path) -> None:
    run_day(str(BEFORE), "r1")
    command = [sys.executable, "-m", "warehouse.freshness", "--lake", str(lake), "--warehouse", str(warehouse)]
    done = subprocess.run([*command, "--as-of", str(YESTERDAY)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"ERROR in check_freshness: The tables of {YESTERDAY} are not published" in done.stderr
    assert subprocess.run([*command, "--as-of", str(BEFORE)], check=False).returncode == 0

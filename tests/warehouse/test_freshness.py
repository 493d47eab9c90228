"""Is today's data there, how old, from which run, was one refused and why: as the view and the step say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qianmian.step import StepError
from tests.candidate_tables import GENERATED_AT
from tests.warehouse.conftest import Query
from warehouse.freshness import check_freshness
from warehouse.record_refusal import record_refusal

RunDay = Callable[..., dict[str, Any]]


@pytest.fixture
def yesterday() -> date:
    """The day a fresh set is of; where the clock is about to turn it, the test waits for the next."""
    left = 86_400 - time.time() % 86_400
    if left < 60:
        time.sleep(left + 1)
    return (datetime.now(UTC) - timedelta(days=1)).date()


@pytest.fixture
def before(yesterday: date) -> date:
    return yesterday - timedelta(days=1)


def refuse(lake: Path, warehouse: Path, day: object, run_id: str, hours: int) -> None:
    started = GENERATED_AT + timedelta(hours=hours)
    record_refusal(lake, str(day), run_id, warehouse, started, "check_tables", "a check did not hold")


def test_the_view_says_how_old_the_tables_are(run_day: RunDay, query: Query, yesterday: date) -> None:
    run_day(str(yesterday), "r1")
    row = query(
        "select run_id, days_old, is_fresh, hours_since_published, last_refused_run_id, is_refused_since"
        " from data_freshness"
    )[0]
    assert row[:3] == ("r1", 1, True)
    assert 0 <= row[3] < 0.1
    assert row[4:] == (None, False)


def test_the_view_says_what_was_refused_since_and_why(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, yesterday: date, before: date
) -> None:
    run_day(str(before), "r1")
    refuse(lake, warehouse, yesterday, "r2", hours=5)
    asked = (
        "select run_id, is_fresh, last_run_status, last_refused_run_id, last_refused_as_of_date,"
        " is_refused_since, last_refused_decision from data_freshness"
    )
    row = query(asked)[0]
    assert row[:6] == ("r1", False, "refused", "r2", yesterday, True)
    assert row[6].startswith("Refused: check_tables did not pass: a check did not hold")
    # What was refused and then mended is history: the last run and the last refusal are told apart.
    run_day(str(yesterday), "r3")
    assert query("select is_refused_since, last_refused_run_id, last_run_id from data_freshness") == [
        (False, "r2", "r3")
    ]


def test_the_last_run_is_the_one_that_really_ended_last(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, yesterday: date, before: date
) -> None:
    began = datetime.now(UTC).replace(tzinfo=None)
    run_day(str(yesterday), "r1")
    # A backfill of long past days: its runs were due before the one whose tables are in place.
    refuse(lake, warehouse, before - timedelta(days=400), "backfill-1", hours=-9600)
    asked = "select last_run_id, last_run_status, last_refused_run_id, is_refused_since from data_freshness"
    assert query(asked) == [("backfill-1", "refused", "backfill-1", True)]
    started, ended, refused = query(
        "select last_run_started_at, last_run_ended_at, last_refused_ended_at from data_freshness"
    )[0]
    assert started == GENERATED_AT - timedelta(hours=9600)
    assert began < ended == refused < datetime.now(UTC).replace(tzinfo=None)
    run_day(str(yesterday), "r2")
    assert query(asked) == [("r2", "published", "backfill-1", False)]
    assert query("select ended_at = published_at from pipeline_runs where run_id = 'r2'") == [(True,)]


def test_a_published_run_that_is_run_again_and_refused_ends_again(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, yesterday: date, before: date
) -> None:
    run_day(str(before), "r1")
    run_day(str(yesterday), "r2")
    refuse(lake, warehouse, before, "r1", hours=0)
    assert query("select last_run_id, last_run_status, run_id, is_refused_since from data_freshness") == [
        ("r1", "published", "r2", False)
    ]
    assert query("select ended_at > published_at from pipeline_runs order by run_id") == [(True,), (False,)]


def test_a_refusal_before_what_stands_is_no_news(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, yesterday: date
) -> None:
    refuse(lake, warehouse, yesterday, "r0", hours=-5)
    assert query("select run_id, is_refused_since from data_freshness") == [(None, True)]
    run_day(str(yesterday), "r1")
    assert query("select run_id, is_refused_since, last_refused_run_id from data_freshness") == [
        ("r1", False, "r0")
    ]


def test_the_step_passes_where_the_day_is_there(
    run_day: RunDay, warehouse: Path, yesterday: date, before: date
) -> None:
    run_day(str(yesterday), "r1")
    assert check_freshness(warehouse, str(yesterday))["run_id"] == "r1"
    assert check_freshness(warehouse, str(before))["run_id"] == "r1"  # a later day is there as well


def test_the_step_says_what_is_there_instead(
    run_day: RunDay, lake: Path, warehouse: Path, yesterday: date, before: date
) -> None:
    with pytest.raises(StepError, match="nothing was ever published"):
        check_freshness(warehouse, str(yesterday))
    run_day(str(before), "r1")
    refuse(lake, warehouse, yesterday, "r2", hours=5)
    with pytest.raises(StepError, match=rf"those in place are of {before}.* run, r2 of {yesterday}, is refused: "):
        check_freshness(warehouse, str(yesterday))


def test_as_a_command_it_ends_with_two(
    run_day: RunDay, lake: Path, warehouse: Path, yesterday: date, before: date
) -> None:
    run_day(str(before), "r1")
    command = [sys.executable, "-m", "warehouse.freshness", "--lake", str(lake), "--warehouse", str(warehouse)]
    done = subprocess.run([*command, "--as-of", str(yesterday)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"ERROR in check_freshness: The tables of {yesterday} are not published" in done.stderr
    assert subprocess.run([*command, "--as-of", str(before)], check=False).returncode == 0

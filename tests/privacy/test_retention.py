"""What was kept long enough goes; what stands, and what going back needs, stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import PUBLISHED
from privacy.apply_retention import OUT_OF_TIME, apply_retention
from tests.privacy.shop import DAYS, PublishedShop
from warehouse.rollback import rollback

LATER = ("2026-11-01", "2026-11-02")
ROOT = Path(__file__).resolve().parents[2]
#: The step, which kills itself with the n-th call of one of its functions.
KILLED = """
import os, signal, sys
from privacy import apply_retention as step

name, n = sys.argv[1], int(sys.argv[2])
real, calls = getattr(step, name), []

def call(*args):
    result = real(*args)
    calls.append(name)
    if len(calls) == n:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(step, name, call)
step.main(sys.argv[3:])
"""


def files_of(shop: PublishedShop, day: str) -> list[Path]:
    """Return the files of a day's history, of tables that are published whole."""
    return sorted((shop.lake / "published").glob(f"*/as_of_date={day}/*.parquet"))


def keep(
    shop: PublishedShop, as_of: str, history: int = 0, quarantine: int = 0, reports: int = 0
) -> dict[str, Any]:
    args = shop.more()
    args.as_of = as_of
    args.keep_history_days, args.keep_quarantine_days, args.keep_reports_days = history, quarantine, reports
    return apply_retention(args)


def query(shop: PublishedShop, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        return connection.sql(sql).fetchall()


@pytest.fixture
def four_days(shop: PublishedShop) -> PublishedShop:
    for number, day in enumerate(LATER, start=len(DAYS)):
        shop.publish_day(day, number)
    return shop


def test_nothing_goes_where_nothing_is_set(four_days: PublishedShop) -> None:
    before = sorted(path for path in four_days.lake.rglob("*") if path.is_file())
    assert not any(keep(four_days, "2036-01-01").values())
    assert sorted(path for path in four_days.lake.rglob("*") if path.is_file()) == before


def test_days_of_history_go_and_their_runs_say_so(four_days: PublishedShop) -> None:
    latest = query(four_days, "from home_recommendations order by all")
    assert keep(four_days, "2026-11-02", history=2)["history_days"] == [DAYS[0]]
    days = "select distinct as_of_date::varchar from user_portraits_history order by 1"
    assert query(four_days, days) == [(DAYS[1],), (LATER[0],), (LATER[1],)]
    runs = "select run_id, status, is_latest from pipeline_runs order by run_id"
    assert query(four_days, runs)[0] == ("run-0", "expired", False)
    assert query(four_days, runs)[-1] == ("run-3", "published", True)
    assert query(four_days, "from home_recommendations order by all") == latest
    assert not [
        table for table in PUBLISHED if (four_days.lake / "published" / table / f"as_of_date={DAYS[0]}").exists()
    ]


def test_the_two_latest_days_stay_however_old(four_days: PublishedShop) -> None:
    assert keep(four_days, "2036-01-01", history=1)["history_days"] == list(DAYS)
    assert keep(four_days, "2036-01-01", history=1)["history_days"] == []
    assert rollback(four_days.lake, four_days.warehouse, "a test")["standing"] == "run-2"


@pytest.mark.parametrize(
    ("killed_in", "after", "left"),
    [("swap_in", 1, len(PUBLISHED)), ("record", 1, len(PUBLISHED)), ("history_file", 5, len(PUBLISHED) - 4)],
)
def test_killed_between_the_swap_and_the_last_file_the_next_run_deletes_what_is_left(
    four_days: PublishedShop, killed_in: str, after: int, left: int
) -> None:
    latest = query(four_days, "from home_recommendations order by all")
    where = [f"--lake={four_days.lake}", f"--warehouse={four_days.warehouse}"]
    process = subprocess.run(
        [
            *(sys.executable, "-c", KILLED, killed_in, str(after), *where),
            *("--as-of=2026-11-02", "--run-id=killed", "--keep-history-days=2"),
        ],
        cwd=ROOT,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert query(four_days, "select status from pipeline_runs where run_id = 'run-0'") == [("expired",)]
    assert len(files_of(four_days, DAYS[0])) == left
    others = [path for day in (DAYS[1], *LATER) for path in files_of(four_days, day)]

    # Nothing has to expire for it: not even with history kept for ever.
    assert keep(four_days, "2026-11-02")["history_days"] == []
    assert list((four_days.lake / "published").glob(f"*/as_of_date={DAYS[0]}")) == []
    assert [path for day in (DAYS[1], *LATER) for path in files_of(four_days, day)] == others
    assert query(four_days, "from home_recommendations order by all") == latest
    assert not any(keep(four_days, "2026-11-02", history=2).values())


def test_a_day_that_expired_and_was_run_again_stays(four_days: PublishedShop) -> None:
    assert keep(four_days, "2026-11-02", history=2)["history_days"] == [DAYS[0]]
    four_days.publish_day(DAYS[0], 0)
    assert not any(keep(four_days, "2026-11-02").values())
    assert len(files_of(four_days, DAYS[0])) == len(PUBLISHED)


def test_texts_of_rejected_rows_go_and_their_reasons_stay(shop: PublishedShop) -> None:
    before = shop.rows("quarantine")
    assert before
    day_after = str(date.fromisoformat(DAYS[1]) + timedelta(days=1))
    assert keep(shop, day_after, quarantine=30)["quarantined_texts"] == 0
    assert keep(shop, "2027-01-01", quarantine=30)["quarantined_texts"] == len(before)
    assert shop.rows("quarantine") == [{**row, "raw": OUT_OF_TIME} for row in before]
    assert keep(shop, "2027-01-01", quarantine=30)["quarantined_texts"] == 0
    assert shop.clean(), "cleaning goes on from it"


def test_reports_and_outputs_of_past_runs_go(four_days: PublishedShop) -> None:
    runs = four_days.lake / "runs"
    for number in range(4):
        for path in (*(runs / f"run-{number}").iterdir(), runs / f"run-{number}"):
            os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    gone = keep(four_days, "2026-11-02", reports=1)
    assert gone["runs"] == ["run-0", "run-1"]
    assert gone["output_days"] == [f"as_of_date={day}" for day in DAYS]
    assert sorted(path.name for path in (four_days.lake / "outputs").iterdir()) == [
        f"as_of_date={d}" for d in LATER
    ]

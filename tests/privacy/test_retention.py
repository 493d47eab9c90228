"""What was kept long enough goes; what stands, and what going back needs, stays."""

from __future__ import annotations

import os
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from expectations.tables import PUBLISHED
from privacy.apply_retention import OUT_OF_TIME, apply_retention
from tests.privacy.shop import DAYS, PublishedShop
from warehouse.rollback import rollback

LATER = ("2026-11-01", "2026-11-02")


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

"""What all tasks of a run share follows from its parameters and its trigger time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from daily_run import DailyRun

AT_TWO = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)


def context(run_type: str = "manual", moment: datetime = AT_TWO, **params: Any) -> dict[str, Any]:
    logical = moment if run_type != "manual" else None
    dag_run = SimpleNamespace(run_type=run_type, run_id="r1", logical_date=logical, run_after=moment)
    return {"params": {"shop": "simulated", **params}, "dag_run": dag_run}


@pytest.mark.parametrize(
    ("given", "day"),
    [
        (context(as_of="2026-10-01"), "2026-10-01"),
        (context(), "2026-10-31"),  # the simulated shop's default
        (context(shop="mine"), "2026-11-01"),
        (context("scheduled"), "2026-11-01"),
        (context("backfill", datetime(2026, 5, 1, 2, 0, tzinfo=UTC)), "2026-04-30"),
        (
            context(shop="mine", moment=datetime(2026, 11, 2, 5, 0, tzinfo=timezone(timedelta(hours=8)))),
            "2026-10-31",
        ),
    ],
)
def test_the_day(given: dict[str, Any], day: str) -> None:
    assert DailyRun.from_context(given).as_of == day


def test_every_task_works_out_the_same() -> None:
    assert DailyRun.from_context(context()) == DailyRun.from_context(context())
    assert DailyRun.from_context(context()).generated_at == "2026-11-02T02:00:00+00:00"


def test_feeds_come_from_the_source_or_from_what_the_adapter_makes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    assert DailyRun.from_context(context(shop="mine", source="s3://b/feeds")).feeds == "s3://b/feeds"
    retail = DailyRun.from_context(context(shop="online_retail", source="/data"))
    assert (retail.source, retail.feeds) == ("/data", str(tmp_path / "online_retail" / "feeds"))


def test_dbt_gets_its_variables() -> None:
    run = DailyRun.from_context(context(shop="online_retail", full_refresh=True))
    assert json.loads(run.dbt_vars) == {
        "as_of_date": "2011-11-30",
        "run_id": "r1",
        "generated_at": "2026-11-02T02:00:00+00:00",
        "currency": "GBP",
        "time_zone": "Europe/London",
        "full_refresh_features": True,
    }

"""`make backfill`: a range of past days by Airflow's own backfill, one after the other, followed to its end.

Why not the bare `airflow backfill create`: it counts by the moments at which runs were due, which are the day
after the one that they work for; it starts ten runs at once unless told not to, whatever the DAG's own limit; and
a last day without a clock time leaves that day out.
"""

from __future__ import annotations

import logging
import time
from datetime import date, datetime, timedelta
from typing import Any

from qianmian.airflow_api import AirflowApi
from qianmian.local_airflow import DAG_ID, LocalAirflow
from qianmian.step import StepError

log = logging.getLogger("qianmian")

POLL_S = 1.0
_ENDED = ("success", "failed")


def backfill(airflow: LocalAirflow, shop: str, first: date, last: date, *, again: bool = False) -> dict[str, str]:
    """Run a shop's days from `first` to `last`, earliest first, one at a time, and wait for their end.

    Days that have succeeded stay as they are, unless they are to be run `again`. Of each day a line is printed.

    Returns:
        The state of each day's run, `success` or `failed`, by as-of day.

    Raises:
        StepError: the range is upside down, another backfill is under way, or Airflow refuses this one.

    """
    api = airflow.api
    if first > last:
        raise StepError(f"FROM={first} is later than TO={last}.", "Give the earlier day as FROM.")
    if under_way := api.active_backfills(DAG_ID):
        ours = ", ".join(f"{b['from_date'][:10]} to {b['to_date'][:10]}" for b in under_way)
        raise StepError(
            f"A backfill of {DAG_ID} is under way (runs due {ours}).",
            f"Let it end, or cancel it at {airflow.home.url}/dags/{DAG_ID}/backfills.",
        )
    asked = {
        "dag_id": DAG_ID,
        "from_date": f"{first + timedelta(days=1)}T00:00:00Z",
        "to_date": f"{last + timedelta(days=1)}T23:59:59Z",
        "dag_run_conf": {"shop": shop},
        "reprocess_behavior": "completed" if again else "failed",
        # A day starts from what the day before has left (segments keep their names), and a shop has one set of
        # working files.
        "max_active_runs": 1,
    }
    due = api.backfill_moments(asked)
    if not due:
        log.info("every day from %s to %s has succeeded already", first, last)
        return {}
    created = api.create_backfill(asked)
    log.info("%d days to run: %s/dags/%s/backfills", len(due), airflow.home.url, DAG_ID)
    return _follow(airflow, created, {as_of(moment) for moment in due}, asked)


def as_of(moment: str) -> str:
    """Return the day that the run due at a moment (ISO 8601) works for: the day before."""
    return (datetime.fromisoformat(moment).date() - timedelta(days=1)).isoformat()


def _follow(airflow: LocalAirflow, backfill_id: int, days: set[str], asked: dict[str, Any]) -> dict[str, str]:
    """Print a line at the end of each day's run until all have ended; return their states."""
    ended: dict[str, str] = {}
    while True:
        # Asked first: what ends between the two questions is seen by the second.
        is_over = airflow.api.is_backfill_over(backfill_id)
        for run in _runs(airflow.api, asked):
            day = as_of(run["logical_date"])
            if day in days and run["state"] in _ENDED and day not in ended:
                ended[day] = run["state"]
                mark = "✓" if run["state"] == "success" else "✗"
                print(f"  {mark} {day}  {run['state']:<8} {_seconds(run):6.0f} s", flush=True)
        if days <= ended.keys() or is_over:
            return dict(sorted(ended.items()))
        if not airflow.is_up():
            raise StepError("Airflow stopped during the backfill.", "Run the same command again: it goes on.")
        time.sleep(POLL_S)


def _runs(api: AirflowApi, asked: dict[str, Any]) -> list[dict[str, Any]]:
    return api.runs_due(DAG_ID, asked["from_date"], asked["to_date"])


def _seconds(run: dict[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    return (end - begin).total_seconds()

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

from qianmian import settings
from qianmian.airflow_api import AirflowApi
from qianmian.local_airflow import DAG_ID, LocalAirflow
from qianmian.step import StepError

log = logging.getLogger("qianmian")

POLL_S = 1.0
_ENDED = ("success", "failed")


def backfill(airflow: LocalAirflow, shop: str, first: date, last: date, *, again: bool = False) -> dict[str, str]:
    """Run a shop's days from `first` to `last`, earliest first, one at a time, and wait for their end.

    Days that have succeeded stay as they are, unless they are to be run `again`. Of each day a line is printed.
    Airflow knows one run of a DAG for each moment at which one was due, whichever shop it worked for: where
    another shop's runs stand at these moments, its backfill would count them as this shop's or write over them.
    The days are then triggered from here, one after the other.

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
    others = {who for run in _runs(api, asked) if (who := shop_of(run)) != shop}
    if others:
        log.info("runs of %s stand there for these days: each gets a run of its own", ", ".join(sorted(others)))
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return _one_by_one(airflow, shop, [str(day) for day in days], set() if again else _succeeded(api, shop))
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


def shop_of(run: dict[str, Any]) -> str:
    """Return the shop that a run worked for: the daily shop where nobody named one."""
    return str((run["conf"] or {}).get("shop") or settings.load_daily().shop)


def _succeeded(api: AirflowApi, shop: str) -> set[str]:
    """Return the days for which a triggered run of a shop has succeeded."""
    runs = api.runs(DAG_ID, state="success", run_type="manual")
    return {str((run["conf"] or {}).get("as_of")) for run in runs if shop_of(run) == shop}


def _one_by_one(airflow: LocalAirflow, shop: str, days: list[str], succeeded: set[str]) -> dict[str, str]:
    """Trigger a run for each day that has not succeeded, when the one before has ended; return their states."""
    ended: dict[str, str] = {}
    for day in days:
        if day in succeeded:
            continue
        run_id = airflow.api.trigger(DAG_ID, {"shop": shop, "as_of": day})
        while (run := airflow.api.run(DAG_ID, run_id))["state"] not in _ENDED:
            _check_is_up(airflow)
            time.sleep(POLL_S)
        ended[day] = run["state"]
        _tell(day, run)
    if not ended:
        log.info("every day from %s to %s has succeeded already", days[0], days[-1])
    return ended


def _follow(airflow: LocalAirflow, backfill_id: int, days: set[str], asked: dict[str, Any]) -> dict[str, str]:
    """Print a line at the end of each day's run until the backfill has ended; return their states."""
    ended: dict[str, str] = {}
    while True:
        # Asked first: what ends between the two questions is seen by the second.
        is_over = airflow.api.is_backfill_over(backfill_id)
        for run in _runs(airflow.api, asked):
            day = as_of(run["logical_date"])
            if day in days and run["state"] in _ENDED and day not in ended:
                ended[day] = run["state"]
                _tell(day, run)
        # Airflow closes a backfill up to half a minute after its last run, and starts no other one before.
        if is_over:
            return dict(sorted(ended.items()))
        _check_is_up(airflow)
        time.sleep(POLL_S)


def _runs(api: AirflowApi, asked: dict[str, Any]) -> list[dict[str, Any]]:
    return api.runs_due(DAG_ID, asked["from_date"], asked["to_date"])


def _check_is_up(airflow: LocalAirflow) -> None:
    if not airflow.is_up():
        raise StepError("Airflow stopped during the backfill.", "Run the same command again: it goes on.")


def _tell(day: str, run: dict[str, Any]) -> None:
    """Print how a day's run ended, and how long it took."""
    begin, end = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    mark = "✓" if run["state"] == "success" else "✗"
    print(f"  {mark} {day}  {run['state']:<8} {(end - begin).total_seconds():6.0f} s", flush=True)

"""`make run` and `make train`: one run of a DAG, triggered over Airflow's REST API and followed to its end."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from expectations.tables import REQUIRED_FEEDS
from qianmian.airflow_home import ADMIN
from qianmian.local_airflow import DAG_IDS, TRAINING_DAG_ID, LocalAirflow
from qianmian.settings import ROOT, Settings
from qianmian.step import StepError

log = logging.getLogger("qianmian")

#: What the source of an adapter has to hold: said before Airflow starts, not by a task minutes later.
_EXPECTED = {
    "completejourney": ("transactions_sample.parquet", "products.parquet"),
    "feeds": REQUIRED_FEEDS,
    "online_retail": ("online_retail.parquet",),
}
POLL_S = 1.0
LOG_LINES = 15
_ENDED = ("success", "failed")
#: States worth a line; that a task was skipped, where it had begun, for a target that is not set.
_MARKS = {"running": "▶", "success": "✓", "failed": "✗", "up_for_retry": "↻", "skipped": "–"}


def check_day(as_of: str) -> None:
    """Check a day, or no day at all.

    Raises:
        StepError: it is no day.

    """
    try:
        if as_of:
            date.fromisoformat(as_of)
    except ValueError:
        raise StepError(f"AS_OF={as_of} is not a day.", "Write it like AS_OF=2011-11-30.") from None


def check_request(settings: Settings, source: str, as_of: str) -> str:
    """Check what is asked before anything starts, and return the source as every process will find it.

    Raises:
        StepError: the day is no day, the data are missing or not named.

    """
    check_day(as_of)
    chosen = source or settings.source
    if settings.adapter == "simulated" or chosen.startswith("s3://"):
        return chosen
    if not chosen:
        raise StepError(
            f"The shop {settings.shop} has no data: no source is named.",
            f"Give a folder or s3://bucket/prefix: `make run SHOP={settings.shop} DATA=...`, or set source in "
            f"qianmian.toml, [shops.{settings.shop}].",
        )
    folder = Path(chosen).expanduser()
    if not folder.exists():
        raise StepError(
            f"The data folder {folder} does not exist.",
            f"Check DATA (it is looked for from {Path.cwd()}).",
        )
    expected = _EXPECTED.get(settings.adapter, ()) if folder.is_dir() else ()
    missing = [name for name in expected if not (folder / name).exists()]
    if missing:
        raise StepError(
            f"{folder} does not hold {' and '.join(missing)}, which the adapter {settings.adapter} needs.",
            "Name the folder that holds them (DATA=...), or choose another adapter for the shop in qianmian.toml.",
        )
    return str(folder.resolve())


def end_interrupted_runs(airflow: LocalAirflow) -> None:
    """Mark as failed what was under way when Airflow stopped: a new run would wait until it has ended."""
    for dag_id in DAG_IDS:
        for run_id in airflow.api.active_runs(dag_id):
            log.info(
                "the run %s of %s was interrupted when Airflow stopped: it is marked as failed", run_id, dag_id
            )
            airflow.api.fail_run(dag_id, run_id)


def run_dag(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any]) -> str | None:
    """Trigger a run, tell of each task's start and end, and return the run's id if it succeeded.

    Raises:
        StepError: the DAG is paused, so that the run would wait for ever, or Airflow refuses the parameters.

    """
    dag = airflow.api.dag(dag_id) or {}
    if dag.get("is_paused"):
        raise StepError(
            f"{dag_id} is paused in Airflow: a run would not start.",
            f"Switch it on at {airflow.home.url}/dags/{dag_id} (user {ADMIN}, password {airflow.home.password}).",
        )
    for run_id in airflow.api.active_runs(dag_id):
        log.info("the run %s is under way: this one waits for its end", run_id)
    run_id = airflow.api.trigger(dag_id, conf)
    url = f"{airflow.home.url}/dags/{dag_id}/runs/{run_id}"
    print(f"\n{dag_id} · {run_id}\n{url}\n", flush=True)
    started = time.monotonic()
    state = _follow(airflow, dag_id, run_id)
    seconds = time.monotonic() - started
    in_steps = sum(task["duration"] or 0 for task in airflow.api.tasks(dag_id, run_id))
    print(f"\nrun {state} after {seconds:.0f} s, {in_steps:.0f} s of it in its steps", flush=True)
    if state != "success":
        _explain_failure(airflow, dag_id, run_id)
        return None
    return run_id


def show_decision(airflow: LocalAirflow, run_id: str) -> None:
    """Print which recommender was promoted or kept, by which numbers."""
    lines = airflow.api.log(TRAINING_DAG_ID, run_id, "promote_recommender", 1)
    print("\n".join(["", *(line for line in lines if "NDCG@20" in line), "", *addresses(airflow)]), flush=True)


def show_result(airflow: LocalAirflow, settings: Settings) -> None:
    """Print a portrait with its recommendations, and where everything is."""
    subprocess.run(
        [sys.executable, "-m", "warehouse.show", "--warehouse", str(settings.warehouse)], cwd=ROOT, check=False
    )
    print(f"\nWarehouse   {settings.warehouse}")
    print(f"Look at it  make preview{'' if settings.shop == 'simulated' else f' SHOP={settings.shop}'}")
    print("\n".join(addresses(airflow)), flush=True)


def addresses(airflow: LocalAirflow) -> list[str]:
    """Return where the UI is, how to log in and how to stop."""
    return [
        f"Airflow     {airflow.home.url}   user {ADMIN}   password {airflow.home.password}",
        "Stop        make stop",
    ]


def _follow(airflow: LocalAirflow, dag_id: str, run_id: str) -> str:
    """Print a line at each change of a task's state until the run has ended; return its state."""
    told: dict[str, tuple[str | None, int]] = {}
    while True:
        state = str(airflow.api.run(dag_id, run_id)["state"])
        for task in sorted(airflow.api.tasks(dag_id, run_id), key=_moment):
            news = (task["state"], task["try_number"])
            is_told = task["state"] in _MARKS and (task["state"] != "skipped" or task["duration"])
            if is_told and told.get(task["task_id"]) != news:
                told[task["task_id"]] = news
                print(_progress_line(task), flush=True)
        if state in _ENDED:
            return state
        if not airflow.is_up():
            raise StepError("Airflow stopped during the run.", "Run it again; `make logs` shows what happened.")
        time.sleep(POLL_S)


def _moment(task: dict[str, Any]) -> tuple[str, str]:
    return (task["end_date"] or task["start_date"] or "", task["task_id"])


def _progress_line(task: dict[str, Any]) -> str:
    state = task["state"]
    seconds = f"{task['duration']:7.1f} s" if task["duration"] and state != "running" else " " * 9
    attempt = f" (attempt {task['try_number']})" if task["try_number"] > 1 else ""
    return f"  {_MARKS[state]} {task['task_id']:<18} {state.replace('_', ' '):<14}{seconds}{attempt}".rstrip()


def _explain_failure(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    """Print the first failed task's last lines: they say what happened and what to do."""
    failed = [t for t in airflow.api.tasks(dag_id, run_id) if t["state"] == "failed"]
    for task in sorted(failed, key=_moment)[:1]:
        lines = airflow.api.log(dag_id, run_id, task["task_id"], task["try_number"])
        marks = [i for i, line in enumerate(lines) if line.startswith("ERROR in ")]
        lines = lines[marks[-1] :] if marks else lines[-LOG_LINES:]
        where = airflow.home.task_logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
        print(f"\nThe task {task['task_id']} failed:\n\n  " + "\n  ".join(lines))
        print(f"\nIts whole log: {where}/attempt={task['try_number']}.log")
    print("The tables that were published before stay in place.\n" + "\n".join(addresses(airflow)), flush=True)

"""The daily job as its commands, one after the other: what Airflow would start, without Airflow's processes."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STEPS = (
    *("prepare", "land", "clean", "check_clean", "build_features", "embed_items", "portray"),
    *("recommend", "lay_out_pages", "evaluate", "build_tables", "check_tables", "publish"),
)


_BE_SUBREAPER = 36  # of prctl(2): orphans of a step, such as Spark's Java, become children of this process


def run_day(shop: str, day: str, run_id: str, environ: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Run all steps of a day in order and return what each took, the start of its process included.

    By step: `seconds` on the clock, and `processor_seconds` of the step and all that it started, which other work
    on the machine hardly changes.

    Raises:
        RuntimeError: a step failed; the text is the end of what it said.

    """
    ctypes.CDLL(None).prctl(_BE_SUBREAPER, 1, 0, 0, 0)
    took = {}
    for step in STEPS:
        argv, all_of_it = _command(shop, step, day, run_id, environ)
        started, before = time.monotonic(), _processor_seconds()
        done = subprocess.run(argv, env=all_of_it, cwd=ROOT, capture_output=True, text=True)
        seconds = time.monotonic() - started
        took[step] = {"seconds": round(seconds, 2), "processor_seconds": round(_processor_seconds() - before, 2)}
        if done.returncode:
            raise RuntimeError(
                f"{step} of {day} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
            )
    return took


def _processor_seconds() -> float:
    """Seconds of all children that have ended, those that a step left behind too: they are waited for."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _command(
    shop: str, step: str, day: str, run_id: str, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Render the templates of one task of the DAG as Airflow would; return its words and its environment."""
    saved = dict(os.environ)
    with tempfile.TemporaryDirectory() as nobodys_home:
        os.environ.update(environ)
        os.environ["AIRFLOW_HOME"] = nobodys_home
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        if str(ROOT / "dags") not in sys.path:
            sys.path.insert(0, str(ROOT / "dags"))
        try:
            import personalize_daily
            from step_operator import SHARED_CORES

            task: Any = personalize_daily.dag.get_task(step).prepare_for_execution()
            moment = datetime(2026, 1, 1, tzinfo=UTC)
            run = SimpleNamespace(run_type="manual", logical_date=moment, run_after=moment, run_id=run_id)
            params = {"shop": shop, "as_of": day, "full_refresh": False, "source": None}
            task.render_template_fields({"params": params, "dag_run": run})
            return [argument for argument in task.argv if argument], {**SHARED_CORES, **environ, **task.environ}
        finally:
            os.environ.clear()
            os.environ.update(saved)

"""The whole path without Airflow's scheduler: the DAG's own commands, in its order, on a small simulated shop."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.acceptance.tables import Tables, published_tables

ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY, NEXT_DAY = "2026-09-20", "2026-09-21"
USERS = "400"
STEPS = (
    "prepare",
    "land",
    "clean",
    "check_clean",
    "build_features",
    "embed_items",
    "portray",
    "recommend",
    "lay_out_pages",
    "evaluate",
    "build_tables",
    "check_tables",
    "publish",
)


@dataclass
class Shop:
    """One shop under a home of its own, run by the commands that the DAG would run."""

    home: Path
    name: str = "simulated"
    source: str = ""
    full_refresh: bool = False
    environ: dict[str, str] = field(default_factory=lambda: {"QIANMIAN_SIMULATED_USERS": USERS})

    @property
    def lake(self) -> Path:
        return self.home / self.name / "lake"

    @property
    def warehouse(self) -> Path:
        return self.home / self.name / "warehouse.duckdb"

    def command(self, step: str, as_of: str, run_id: str) -> tuple[list[str], dict[str, str]]:
        """Render the DAG's own command of one step, and its environment."""
        argv, environ = render(self, step, as_of, run_id)
        return argv, {**os.environ, **self.environ, "QIANMIAN_HOME": str(self.home), **environ}

    def run_step(self, step: str, as_of: str, run_id: str) -> subprocess.CompletedProcess[str]:
        argv, environ = self.command(step, as_of, run_id)
        return subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)

    def run_day(self, as_of: str, run_id: str) -> dict[str, float]:
        """Run all steps of a day and return the seconds of each; a failing one's own words fail the test."""
        seconds = {}
        for step in STEPS:
            started = time.monotonic()
            done = self.run_step(step, as_of, run_id)
            seconds[step] = time.monotonic() - started
            if done.returncode:
                pytest.fail(f"{step} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
        return seconds


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home for the Airflow that the DAG file is imported with; nothing of it runs."""
    home = tmp_path_factory.mktemp("airflow")
    os.environ["AIRFLOW_HOME"] = str(home)
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    sys.path.insert(0, str(ROOT / "dags"))
    yield home
    sys.path.remove(str(ROOT / "dags"))


def render(shop: Shop, step: str, as_of: str, run_id: str) -> tuple[list[str], dict[str, str]]:
    """Render one task's templates as Airflow would, from a run of this shop and day."""
    import personalize_daily
    from airflow.sdk import DAG

    saved = dict(os.environ)
    os.environ.update({**shop.environ, "QIANMIAN_HOME": str(shop.home)})
    try:
        dag: DAG = personalize_daily.dag
        task: Any = dag.get_task(step).prepare_for_execution()
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        context = {
            "params": {
                "shop": shop.name,
                "as_of": as_of,
                "full_refresh": shop.full_refresh,
                "source": shop.source or None,
            },
            "dag_run": SimpleNamespace(run_type="manual", logical_date=moment, run_after=moment, run_id=run_id),
        }
        task.render_template_fields(context)
        return [argument for argument in task.argv if argument], dict(task.environ)
    finally:
        os.environ.clear()
        os.environ.update(saved)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, airflow_home: Path) -> Shop:
    """A simulated shop after its first day; no test runs anything in it."""
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.run_day(FIRST_DAY, "first")
    return shop


@dataclass
class Days:
    """The shop after its first day, the same day again, the next day, and the first day once more.

    `seconds` are those of the next day's steps.
    """

    shop: Shop
    published: dict[str, Tables]
    seconds: dict[str, float]


@pytest.fixture(scope="session")
def days(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Days:
    """Run the days; keep what each run published: a later run of a day replaces the earlier one's history."""
    later = Shop(tmp_path_factory.mktemp("later"))
    shutil.copytree(shop.home, later.home, dirs_exist_ok=True)
    published = {"first": published_tables(later.lake, FIRST_DAY, "first")}
    took = {}
    for day, run_id in ((FIRST_DAY, "again"), (NEXT_DAY, "next"), (FIRST_DAY, "past")):
        took[run_id] = later.run_day(day, run_id)
        published[run_id] = published_tables(later.lake, day, run_id)
    return Days(later, published, took["next"])

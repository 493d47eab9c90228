"""One real Airflow for all end-to-end tests, in a home of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianmian import settings
from qianmian.airflow_api import AirflowApi
from qianmian.local_airflow import DAG_ID, LocalAirflow
from qianmian.settings import Settings
from tests.e2e.browser import CHROMIUM, logged_in, trigger_by_form
from tests.receiver import Receiver

ROOT = Path(__file__).resolve().parents[2]
ENDED = ("success", "failed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: `pytest -m 'not e2e'` leaves them out."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "e2e"):
            item.add_marker(pytest.mark.e2e)


class AirflowForTests:
    """A running Airflow: trigger runs of the daily DAG, wait for them, read their logs."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.local = LocalAirflow(settings.load("simulated", environ))

    @property
    def api(self) -> AirflowApi:
        """The REST API, logged in as the UI's user."""
        return self.local.api

    @property
    def url(self) -> str:
        """Address of the UI."""
        return self.local.home.url

    @property
    def password(self) -> str:
        """Password of the user admin."""
        return self.local.home.password

    def settings(self, shop: str) -> Settings:
        """Return a shop's settings as its runs see them: where its lake and its warehouse are."""
        return settings.load(shop, self.environ)

    def trigger(self, dag_id: str = DAG_ID, **conf: Any) -> str:
        """Start a run with parameters (shop, as_of, full_refresh, source); return its run id."""
        return self.api.trigger(dag_id, conf)

    def wait(self, run_id: str, seconds: float = 1800, dag_id: str = DAG_ID) -> str:
        """Wait for a run's end and return its state, success or failed."""
        deadline = time.monotonic() + seconds
        while (state := str(self.api.run(dag_id, run_id)["state"])) not in ENDED:
            assert time.monotonic() < deadline, f"{run_id} is {state}: {self.states(run_id, dag_id)}"
            time.sleep(1)
        return state

    def states(self, run_id: str, dag_id: str = DAG_ID) -> dict[str, str]:
        """Return the state of each task of a run."""
        return {task["task_id"]: task["state"] for task in self.api.tasks(dag_id, run_id)}

    def log(self, run_id: str, task_id: str, attempt: int = 1, dag_id: str = DAG_ID) -> str:
        """Return a task's log."""
        return "\n".join(self.api.log(dag_id, run_id, task_id, attempt))

    def failure(self, run_id: str) -> str:
        """Return the log of each failed task, for an assertion's message."""
        tasks = [task for task in self.api.tasks(DAG_ID, run_id) if task["state"] == "failed"]
        return "\n".join(f"{t['task_id']}:\n{self.log(run_id, t['task_id'], t['try_number'])}" for t in tasks)


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Listen for what Airflow tells of failures."""
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def airflow(receiver: Receiver) -> Iterator[AirflowForTests]:
    """Start Airflow without a schedule, for a small simulated shop; stop it at the end."""
    given = os.environ.get("QIANMIAN_TEST_HOME")
    home = Path(given or tempfile.mkdtemp(prefix="qianmian-e2e-"))
    home.chmod(0o755)  # PostgreSQL's own user passes through it where the tests run as root
    ours = {
        "QIANMIAN_HOME": str(home),
        "QIANMIAN_SIMULATED_USERS": "400",
        "QIANMIAN_ALERT_WEBHOOK": receiver.address,
        "QIANMIAN_LINEAGE": str(home / "lineage.jsonl"),
        "QIANMIAN_PSEUDONYM_KEY": "e2e-secret-" + "k" * 32,
    }
    running = AirflowForTests({**os.environ, **ours})
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ours.items():
                patch.setenv(name, value)
            running.local.up(schedule="")
        yield running
    finally:
        running.local.stop()
        if not given:
            shutil.rmtree(home)


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Return the folder for what a person may want to look at after the tests."""
    folder = ROOT / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def published_run(airflow: AirflowForTests, artifacts: Path) -> str:
    """Run the daily DAG once for the simulated shop, triggered from the UI's form (by the API without a browser).

    Returns the run's id.
    """
    shop, as_of = "simulated", "2026-10-31"
    if CHROMIUM is None:
        run_id = airflow.trigger(shop=shop, as_of=as_of)
    else:
        with logged_in(airflow) as page:
            run_id = trigger_by_form(page, airflow, artifacts, shop, as_of)
    assert airflow.wait(run_id) == "success", airflow.failure(run_id)
    return run_id

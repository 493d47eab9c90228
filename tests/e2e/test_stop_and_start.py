"""Airflow over a stop, and over the death of the machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from qianmian.local_airflow import DAG_ID

if TYPE_CHECKING:
    from conftest import AirflowForTests


def processes_of(airflow: AirflowForTests) -> set[int]:
    """Return every process that has this home in its environment or its command line."""
    home = str(airflow.local.home.folder)
    found = set()
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            if process.environ().get("AIRFLOW_HOME") == home or home in " ".join(process.cmdline()):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def refused_run(airflow: AirflowForTests, source: Path) -> str:
    """Trigger a run that ends at its second task, for want of feeds; return the run's state."""
    return airflow.wait(airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(source)), 180)


def test_a_stop_leaves_no_process_and_a_start_has_the_history(
    airflow: AirflowForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(tmp_path))
    airflow.wait(before, 180)
    assert processes_of(airflow)
    assert airflow.local.stop()
    assert processes_of(airflow) == set()
    start(airflow, monkeypatch)
    assert airflow.api.run(DAG_ID, before)["state"] == "failed"


def test_a_killed_machine_comes_up_again_and_runs(
    airflow: AirflowForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in processes_of(airflow):
        os.kill(pid, signal.SIGKILL)
    start(airflow, monkeypatch)
    assert refused_run(airflow, tmp_path) == "failed"


def start(airflow: AirflowForTests, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QIANMIAN_HOME", "QIANMIAN_SIMULATED_USERS"):
        monkeypatch.setenv(name, airflow.environ[name])
    assert airflow.local.up(schedule="")

"""Airflow over a stop, and over the death of the machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from qianmian.local_airflow import DAG_ID

if TYPE_CHECKING:
    from conftest import AirflowForTests


def processes_of(airflow: AirflowForTests) -> list[psutil.Process]:
    """Return all processes of this Airflow and of its PostgreSQL."""
    local = airflow.local
    return [
        *local.home.postgres.processes(),
        *(one for part in local.processes.values() for one in part.members()),
    ]


def strays(airflow: AirflowForTests) -> set[int]:
    """Return every process that has this home in its environment or its command line, whoever started it."""
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


def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that have not ended within half a minute."""
    return list(psutil.wait_procs(processes, timeout=30)[1])


def refused_run(airflow: AirflowForTests, source: Path) -> str:
    """Trigger a run that ends at its second task, for want of feeds; return the run's state."""
    return airflow.wait(airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(source)), 180)


def test_a_stop_leaves_no_process_and_a_start_has_the_history(
    airflow: AirflowForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(tmp_path))
    airflow.wait(before, 180)
    processes = processes_of(airflow)
    assert len(processes) > len(airflow.local.processes)  # PostgreSQL's and the workers too
    assert airflow.local.stop()
    assert still_there(processes) == []
    assert strays(airflow) == set()
    start(airflow, monkeypatch)
    assert airflow.api.run(DAG_ID, before)["state"] == "failed"


def test_a_killed_machine_comes_up_again_and_runs(
    airflow: AirflowForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = processes_of(airflow)
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a child that ended with its parent
            process.kill()
    # A killed process is seen as running until the kernel has cleared it away: no such moment in a real crash.
    assert still_there(processes) == []
    start(airflow, monkeypatch)
    assert refused_run(airflow, tmp_path) == "failed"


def start(airflow: AirflowForTests, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in airflow.environ.items():
        if name.startswith("QIANMIAN_"):
            monkeypatch.setenv(name, value)
    assert airflow.local.up(schedule="")

"""Processes by name: found again, stopped with all they started, and never somebody else's."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from qianmian.processes import ManagedProcess

# A process with a child in a group of its own that ignores SIGTERM; it tells the child's pid.
WITH_CHILD = """
import subprocess, sys, time
code = "from signal import *; signal(SIGTERM, SIG_IGN); print('ready', flush=True); import time; time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code], process_group=0)
print("child", child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ManagedProcess]:
    managed = ManagedProcess("sleeper", tmp_path)
    yield managed
    managed.stop(patience_s=0.2)


def start(process: ManagedProcess, code: str) -> int:
    process.start([sys.executable, "-c", code], os.environ, Path("/"))
    return int(process.recorded()["pid"])


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def start_with_child(process: ManagedProcess) -> tuple[int, int]:
    pid = start(process, WITH_CHILD)
    wait_for(lambda: "ready" in process.log_tail() and "child" in process.log_tail())
    line = next(line for line in process.log_tail().splitlines() if line.startswith("child"))
    return pid, int(line.split()[1])


def test_stopping_ends_the_whole_session_even_what_ignores_being_asked(process: ManagedProcess) -> None:
    pid, child = start_with_child(process)
    assert process.stop(patience_s=0.5)
    assert not running(pid)
    assert not running(child)
    assert process.leader() is None


def test_what_a_killed_process_left_is_ended_by_the_next_start(process: ManagedProcess) -> None:
    pid, child = start_with_child(process)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not running(pid))
    assert running(child)
    assert process.leader() is None
    process.stop(patience_s=0.5)
    assert not running(child)


def test_another_object_finds_the_process_by_its_file(process: ManagedProcess, tmp_path: Path) -> None:
    pid = start(process, "import time; time.sleep(60)")
    found = ManagedProcess("sleeper", tmp_path).leader()
    assert found is not None
    assert found.pid == pid


def test_a_number_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    bystander = ManagedProcess("bystander", tmp_path)
    pid = start(bystander, "import time; time.sleep(60)")
    try:
        started_at = psutil.Process(pid).create_time() - 3600  # before a reboot
        (tmp_path / "stale.json").write_text(json.dumps({"pid": pid, "started_at": started_at}))
        stale = ManagedProcess("stale", tmp_path)
        assert stale.leader() is None
        assert not stale.stop()
        assert running(pid)
    finally:
        bystander.stop()


def test_stopping_what_never_ran_says_so(process: ManagedProcess) -> None:
    assert not process.stop()


def test_its_output_and_notes_are_kept(process: ManagedProcess) -> None:
    process.start([sys.executable, "-c", "print('hello')"], os.environ, Path("/"), schedule="0 2 * * *")
    wait_for(lambda: "hello" in process.log_tail())
    assert process.recorded()["schedule"] == "0 2 * * *"

"""SIGKILL in each stage: tried again it succeeds, and a reader polling throughout never sees a broken set.

QIANMIAN_KILL_ROUNDS sets how often each stage is killed (1; the release check takes 10).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import NEXT_DAY, ROOT, STEPS, Days, Shop
from tests.acceptance.reader import look
from tests.acceptance.tables import differences, published_tables

ROUNDS = int(os.environ.get("QIANMIAN_KILL_ROUNDS", "1"))
#: How often a step is started at most, to be killed once while it works.
TRIES = 20


@pytest.fixture
def disturbed(shop: Shop, tmp_path: Path) -> Shop:
    """A copy of the shop after its first day, in which steps of the next will be killed."""
    shutil.copytree(shop.home, tmp_path / "home")
    return Shop(tmp_path / "home")


@pytest.fixture
def polled(disturbed: Shop, tmp_path: Path) -> Iterator[Path]:
    """A reader in a process of its own, polling until the test has ended; yields where it leaves its result."""
    result, stop = tmp_path / "reader.json", tmp_path / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.reader", disturbed.warehouse, result, stop], cwd=ROOT
    )
    try:
        yield result
    finally:
        stop.touch()
        reader.wait(timeout=60)


def kill_at_work(shop: Shop, step: str, run_id: str, share: float, seconds: float) -> bool:
    """Start a step, kill it and its children after a share of the time it takes; return whether it was at work.

    A step that ends before it is killed has shown how long it takes now: it is started again and killed earlier.
    """
    for _ in range(TRIES):
        argv, environ = shop.command(step, NEXT_DAY, run_id)
        started = time.monotonic()
        process = subprocess.Popen(
            argv, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )
        try:
            process.wait(timeout=share * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        assert process.returncode == 0, f"{step} failed before it was killed"
        seconds = time.monotonic() - started
    return False


def test_killed_anywhere_it_is_done_again_and_the_run_succeeds(days: Days, disturbed: Shop, polled: Path) -> None:
    shares, pace = random.Random(20260922), 1.0
    for round_number in range(ROUNDS):
        run_id = f"mended-{round_number}"
        for step in STEPS:
            # As in a run: what comes before has passed, this one is killed and tried again.
            expected = pace * days.seconds[step]
            at_work = kill_at_work(disturbed, step, run_id, shares.random(), expected)
            assert at_work, f"{step} ended before it was killed, {TRIES} times"
            assert look(disturbed.warehouse) is None
            started = time.monotonic()
            done = disturbed.run_step(step, NEXT_DAY, run_id)
            assert done.returncode == 0, f"{step} after a kill: {done.stderr[-3000:]}"
            # The machine may have less to do than when the undisturbed day ran, or more.
            pace = min((time.monotonic() - started) / days.seconds[step], 1.0)
    assert differences(days.published["next"], published_tables(disturbed.lake, NEXT_DAY, run_id)) == {}

    (polled.parent / "stop").touch()
    deadline = time.monotonic() + 60
    while not polled.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    seen = json.loads(polled.read_text())
    assert seen["looks"] > 50
    assert seen["wrong"] == []

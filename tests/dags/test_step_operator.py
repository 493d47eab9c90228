"""The operator on real commands: what it passes on, what each exit code means, what a kill leaves."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.timeout import timeout
from daily_run import DailyRun
from step_operator import StepOperator


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    moment = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
    return {
        "params": {"shop": "simulated", "as_of": "2026-10-30", "full_refresh": False, "source": None},
        "dag_run": SimpleNamespace(run_type="manual", run_id="manual__1", logical_date=None, run_after=moment),
    }


def run(context: dict[str, Any], code: str, *arguments: str, **options: Any) -> DailyRun:
    operator = StepOperator(task_id="tried", argv=[sys.executable, "-c", code, *arguments], **options)
    operator.render_template_fields(context)
    operator.execute(context)
    return context["run"]


def test_arguments_are_rendered_and_what_renders_to_nothing_is_left_out(
    context: dict[str, Any], tmp_path: Path
) -> None:
    code = "import sys, os; open(sys.argv[1], 'w').write(repr((sys.argv[2:], os.environ['LAKE'])))"
    seen = tmp_path / "seen"
    run(
        context,
        code,
        str(seen),
        "--as-of={{ run.as_of }}",
        "{{ '--full-refresh' if run.full_refresh }}",
        "$(touch /tmp/x); {{ run.run_id }}",
        environ={"LAKE": "{{ run.lake }}"},
    )
    lake = str(tmp_path / "simulated" / "lake")
    assert seen.read_text() == repr((["--as-of=2026-10-30", "$(touch /tmp/x); manual__1"], lake))


def test_airflows_own_variables_stay_with_airflow(
    context: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://secret")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    seen = tmp_path / "seen"
    run(context, "import sys, os; open(sys.argv[1], 'w').write('\\n'.join(os.environ))", str(seen))
    names = seen.read_text().splitlines()
    assert "AWS_PROFILE" in names
    assert not [name for name in names if name.startswith("AIRFLOW__")]


@pytest.mark.parametrize("set_by_the_shop", [None, "active"])
def test_threads_that_wait_leave_the_cores_to_others_unless_the_shop_says_otherwise(
    context: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_by_the_shop: str | None
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if set_by_the_shop is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", set_by_the_shop)
    seen = tmp_path / "seen"
    run(context, "import sys, os; open(sys.argv[1], 'w').write(os.environ['OMP_WAIT_POLICY'])", str(seen))
    assert seen.read_text() == (set_by_the_shop or "passive")


BAD_INPUT = (
    "import sys; print('a trace'); print('ERROR in land: row 3 of x.csv is cut off.\\nWHAT TO DO: mend x.csv');"
)


def test_bad_input_is_not_tried_again_and_shows_the_steps_own_words(context: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException) as failed:
        run(context, BAD_INPUT + "sys.exit(2)")
    assert str(failed.value) == "ERROR in land: row 3 of x.csv is cut off.\nWHAT TO DO: mend x.csv"
    assert context["run"].failure == {"step": "tried", "why": str(failed.value)}


def test_another_failure_is_tried_again(context: dict[str, Any]) -> None:
    with pytest.raises(AirflowException) as failed:
        run(context, "import sys; print('disk lost'); sys.exit(1)", remedy="Buy a disk.")
    assert not isinstance(failed.value, AirflowFailException)
    assert "exit code 1" in str(failed.value)
    assert "disk lost" in str(failed.value)
    assert str(failed.value).endswith("WHAT TO DO: Buy a disk.")


def test_a_step_that_hangs_is_stopped_with_its_children_and_says_so(
    context: dict[str, Any], tmp_path: Path
) -> None:
    seen = tmp_path / "child"
    limit = timedelta(seconds=3)
    operator = StepOperator(
        task_id="tried",
        argv=[sys.executable, "-c", LEAVES_CHILD + "time.sleep(60)", str(seen)],
        execution_timeout=limit,
    )
    operator.render_template_fields(context)
    with (
        pytest.raises(AirflowException) as failed,
        timeout(limit.total_seconds()),
    ):  # as Airflow's task runner does
        operator.execute(context)
    assert not isinstance(failed.value, AirflowFailException), "what stalled once may go well the next time"
    assert "at work for 0:00:03 (h:mm:ss), longer than it may be" in str(failed.value)
    assert "task_timeout_hours" in str(failed.value).partition("WHAT TO DO: ")[2]
    assert context["run"].failure == {"step": "tried", "why": str(failed.value)}
    wait_for(lambda: not running(int(seen.read_text())))


def test_which_exit_codes_are_final_can_be_said(context: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException):
        run(context, "import sys; sys.exit(1)", final_exit_codes=(1,))


def test_a_step_that_was_killed_says_so(context: dict[str, Any]) -> None:
    with pytest.raises(AirflowException, match=r"signal 9.*memory"):
        run(context, "import os; os.kill(os.getpid(), 9)")


def test_success_takes_back_what_an_earlier_attempt_said(context: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException):
        run(context, BAD_INPUT + "sys.exit(2)")
    assert run(context, "pass").failure["step"] == "unknown"


def test_another_steps_success_leaves_the_reason_to_whoever_tells_it(context: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException):
        run(context, BAD_INPUT + "sys.exit(2)")
    recorder = StepOperator(task_id="record_refusal", argv=[sys.executable, "-c", "pass"])
    recorder.render_template_fields(context)
    recorder.execute(context)
    assert context["run"].failure["step"] == "tried"


def test_an_unusable_parameter_is_told_and_not_tried_again(context: dict[str, Any]) -> None:
    context["params"]["as_of"] = "yesterday"
    with pytest.raises(AirflowFailException, match="'yesterday' is not a day"):
        run(context, "pass")


def test_each_line_reaches_the_log_when_it_is_printed(
    context: dict[str, Any], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(context, "print('first'); import sys; print('second', file=sys.stderr)")
    logged = caplog.text + capsys.readouterr().out
    assert "first" in logged
    assert "second" in logged


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


LEAVES_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1] + ".tmp", "w").write(str(child.pid))
import os, time; os.replace(sys.argv[1] + ".tmp", sys.argv[1])
"""


def test_what_a_step_leaves_running_ends_with_it(context: dict[str, Any], tmp_path: Path) -> None:
    seen = tmp_path / "child"
    started = time.monotonic()
    run(context, LEAVES_CHILD, str(seen))  # the child holds the output open for a minute
    assert time.monotonic() - started < 20
    wait_for(lambda: not running(int(seen.read_text())))


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_kill_ends_the_step_and_its_children(context: dict[str, Any], tmp_path: Path, stubborn: bool) -> None:
    seen = tmp_path / "child"
    code = LEAVES_CHILD + "time.sleep(60)"
    if stubborn:
        code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + code
    operator = StepOperator(task_id="tried", argv=[sys.executable, "-c", code, str(seen)])
    operator.render_template_fields(context)

    def kill_when_running() -> None:
        wait_for(seen.exists)
        operator.on_kill()

    killer = threading.Thread(target=kill_when_running)
    killer.start()
    with pytest.raises(AirflowException, match=f"signal {int(signal.SIGKILL if stubborn else signal.SIGTERM)}"):
        operator.execute(context)
    killer.join()
    wait_for(lambda: not running(int(seen.read_text())))

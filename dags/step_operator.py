"""The operator that runs a step: a command of this project, as its own process group, without a shell."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import lineage
import on_call
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from daily_run import DailyRun

from qianmian.settings import ALERT_WEBHOOK, ROOT
from qianmian.step import EXIT_BAD_INPUT, StepError

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

TAIL_LINES = 60
GRACE_S = 3.0  # less than the 5 s after which Airflow kills the task itself

# Nothing phones home and nothing is downloaded unasked; whoever wants a model from a hub sets HF_HUB_OFFLINE=0.
QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow hears DO_NOT_TRACK only where it is the word true
}
# OpenMP's threads (torch, LightGBM, FAISS) sleep while they wait for one another. By default they spin, which
# takes the cores from what runs beside the step and makes the step itself many times slower: docs/decisions/0022.
SHARED_CORES = {"OMP_WAIT_POLICY": "passive"}


class StepOperator(BaseOperator):
    """Run a command and stream its output into the task's log.

    The step's exit code decides (see `qianmian/step.py`): a code in `final_exit_codes` fails the task at once,
    because trying again cannot help; any other but 0 is tried again as `retries` says. The error shown is the
    step's own, from its line `ERROR in ...` on.

    :param argv: the command (templated, with `run` of `daily_run.py`); what renders to nothing is left out
    :param environ: variables added to the environment (templated)
    :param final_exit_codes: exit codes after which trying again is useless
    :param remedy: what to do, where the step's output does not say it
    :param needs: setting without which there is nothing to do (templated): where it is empty, the task is skipped
    """

    template_fields: Sequence[str] = ("argv", "environ", "needs")
    template_fields_renderers = {"environ": "json"}  # noqa: RUF012 - Airflow's own interface
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        argv: Sequence[str],
        environ: Mapping[str, str] | None = None,
        final_exit_codes: Collection[int] = (EXIT_BAD_INPUT,),
        remedy: str = "Read the lines above. Trying again may help: Clear the task.",
        needs: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.argv = list(argv)
        self.environ = dict(environ or {})
        self.final_exit_codes = frozenset(final_exit_codes)
        self.remedy = remedy
        self.needs = needs
        self._day: DailyRun | None = None
        self._process: subprocess.Popen[str] | None = None
        self._ended = threading.Event()

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render with `run` in the context."""
        try:
            context["run"] = self._day = DailyRun.from_context(context)
        except StepError as error:
            text = f"ERROR in {self.task_id}: {error.what}\nWHAT TO DO: {error.remedy}"
            raise AirflowFailException(text) from None
        super().render_template_fields(context, jinja_env)

    def execute(self, context: Any) -> None:
        """Run the step.

        Raises:
            AirflowSkipException: what it needs is not set.
            AirflowFailException: the input or a setting is at fault; not tried again.
            AirflowException: anything else, a step that took too long among it.

        """
        run: DailyRun = context["run"]
        if self.needs == "":
            raise AirflowSkipException("not set in qianmian.toml: nothing to do")
        try:
            tail, exit_code = self._run([argument for argument in self.argv if argument])
        except AirflowTaskTimeout:
            self.on_kill()
            message = self._explain_timeout()
            run.record_failure(self.task_id, message)
            raise AirflowException(message) from None
        if exit_code == 0:
            run.forget_failure(self.task_id)
            return
        message = self._explain(tail, exit_code)
        run.record_failure(self.task_id, message)
        if exit_code in self.final_exit_codes:
            raise AirflowFailException(message)
        raise AirflowException(message)

    def get_openlineage_facets_on_start(self) -> OperatorLineage | None:
        """Say what the task reads and writes, to Airflow's OpenLineage provider where that is on."""
        return lineage.facets(self.task_id, self._day) if self._day else None

    def on_kill(self) -> None:
        """End the step and all it started: asked first, killed after a short while."""
        if self._process is None:
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        if not self._ended.wait(GRACE_S):
            _signal_group(self._process.pid, signal.SIGKILL)

    def _run(self, argv: list[str]) -> tuple[list[str], int]:
        """Run a command to its end; return its last lines and its exit code."""
        self.log.info("$ %s", shlex.join(argv))
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self._environment(),
            cwd=ROOT,
            process_group=0,
        )
        watcher = threading.Thread(target=self._end_group_with_leader, daemon=True)
        watcher.start()
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            tail.append(line.rstrip("\n"))
            self.log.info("%s", tail[-1])
        watcher.join()
        return list(tail), self._process.wait()

    def _end_group_with_leader(self) -> None:
        """When the step has ended, end what it left running: it would hold the output open, and memory."""
        assert self._process is not None
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)  # not reaped: the number stays taken
        _signal_group(self._process.pid, signal.SIGKILL)
        self._ended.set()

    def _environment(self) -> dict[str, str]:
        """The environment without what is no step's business: Airflow's database's password, the webhook."""
        not_theirs = ("AIRFLOW__", ALERT_WEBHOOK)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(not_theirs)}
        return {**QUIET, **SHARED_CORES, **kept, "PYTHONUNBUFFERED": "1", **self.environ}

    def _explain(self, tail: list[str], exit_code: int) -> str:
        """Compose the text that the person on call reads first."""
        starts = [i for i, line in enumerate(tail) if line.startswith("ERROR in ")]
        if starts:
            return "\n".join(tail[starts[-1] :]).strip()
        how = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        hint = " Signal 9 often means that memory ran out." if exit_code == -signal.SIGKILL else ""
        if any(os.strerror(errno.ENOSPC) in line for line in tail):
            hint = " A disk is full: make room first, then clear the task."
        last = "\n".join(line for line in tail[-10:] if line.strip())
        text = f"ERROR in {self.task_id}: the step {how}.{hint} Its last lines:\n{last}\nWHAT TO DO: {self.remedy}"
        self.log.error("%s", text)
        return text

    def _explain_timeout(self) -> str:
        """Compose what is told of a step that took too long: what it waited for, its log says."""
        text = (
            f"ERROR in {self.task_id}: the step was at work for {self.execution_timeout} (h:mm:ss), longer than "
            "it may be, and was stopped.\nWHAT TO DO: See in the task's log what it waited for (a source, a "
            "target, the machine) and clear the task. If it was at work all the time, allow more: "
            "task_timeout_hours, or training_timeout_hours, in qianmian.toml."
        )
        self.log.error("%s", text)
        return text


def step(
    task_id: str,
    module: str,
    *flags: str,
    needs: str | None = None,
    of_airflow: Mapping[str, Any] | None = None,
    **options: str,
) -> StepOperator:
    """Make the task that runs one of the project's steps; an option `max_x=v` is its argument `--max-x=v`.

    `of_airflow` are arguments of Airflow's own, such as its trigger rule.
    """
    common = {"lake": "{{ run.lake }}", "as_of": "{{ run.as_of }}", "run_id": "{{ run.run_id }}"}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in {**common, **options}.items()]
    return StepOperator(
        task_id=task_id,
        argv=(sys.executable, "-m", module, *arguments, *flags),
        needs=needs,
        **(of_airflow or {}),
        doc_md=on_call.TASKS[task_id],
    )


def _signal_group(leader: int, signal_number: int) -> None:
    """Signal all processes of a group; none left is fine."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal_number)

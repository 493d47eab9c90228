"""The local Airflow as a whole: its PostgreSQL and its three processes, up, down and how they are.

Airflow's own `airflow standalone` listens on every interface and leaves its children behind when stopped;
here api-server, scheduler and dag-processor are started by themselves (a triggerer is not: nothing defers).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version

from qianmian.airflow_api import AirflowApi
from qianmian.airflow_home import ADMIN, AirflowHome
from qianmian.files import locked
from qianmian.processes import ManagedProcess, memory_mib
from qianmian.settings import ROOT, SETTINGS_FILE, Settings
from qianmian.step import StepError

log = logging.getLogger("qianmian")

DAG_IDS = ("personalize_daily", "train_models_weekly", "forget_users")
DAG_ID, TRAINING_DAG_ID, FORGETTING_DAG_ID = DAG_IDS
COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
START_PATIENCE_S = 180
FREE_DISK_BYTES = 2 * 10**9


class LocalAirflow:
    """Airflow for one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = AirflowHome(settings.home)
        self.processes = {name: ManagedProcess(name, self.home.processes_folder) for name in COMMANDS}
        self._api: AirflowApi | None = None

    @property
    def api(self) -> AirflowApi:
        """The REST API, as the UI's user, at the port of the last start."""
        if self._api is None or self._api.url != self.home.url:
            self._api = AirflowApi(self.home.url, ADMIN, self.home.password)
        return self._api

    def is_up(self) -> bool:
        """Tell whether all parts run."""
        return bool(self.home.postgres.pid()) and all(p.leader() for p in self.processes.values())

    def up(self, schedule: str | None = None) -> bool:
        """Bring everything up that is not, wait until the DAG can be triggered, and tell if Airflow was down.

        `schedule` is what the DAG runs by: cron, empty for runs by hand alone, None to leave it as it is. Where
        Airflow is up with other settings in the environment, its scheduler and dag-processor are started again.

        Raises:
            StepError: something does not start, or the DAG cannot be read.

        """
        with locked(self.home.lock):
            if schedule is None:
                schedule = str(self.processes["dag-processor"].recorded().get("schedule", ""))
            environ = {**os.environ, "QIANMIAN_SCHEDULE": schedule}
            self._check_disk()
            started = time.monotonic()
            was_down = not self.is_up()
            if was_down:
                self._start_all(environ)
            elif self._outdated(environ):
                self._refuse_while_running()
                log.info("settings in the environment have changed: starting Airflow's scheduler again")
                for name in ("scheduler", "dag-processor"):
                    self._start(name, environ)
            else:
                self._wait_for_dag()
                return False
            self._wait_until_healthy()
            self._wait_for_dag()
            log.info("Airflow is up after %.0f s: %s", time.monotonic() - started, self.home.url)
            return was_down

    def stop(self) -> bool:
        """Stop all parts with everything they started. Tell whether anything ran."""
        with locked(self.home.lock):
            # The scheduler first: it would see its tasks die and start them again. The api-server has nothing to
            # lose, and would wait for every browser that is connected.
            ran = [self.processes[name].stop() for name in ("scheduler", "dag-processor")]
            ran.append(self.processes["api-server"].stop(patience_s=2.0))
            ran.append(bool(self.home.postgres.pid()))
            self.home.postgres.stop()
        return any(ran)

    def status(self) -> list[str]:
        """Describe each part in a line: its state, its process, its memory (shared pages counted once)."""
        server = self.home.postgres.processes()
        lines = [_line("postgres", server[0].pid if server else None, memory_mib(server))]
        for name, process in self.processes.items():
            leader = process.leader()
            lines.append(_line(name, leader.pid if leader else None, memory_mib(process.members())))
        return lines

    def _start_all(self, environ: Mapping[str, str]) -> None:
        for process in self.processes.values():  # what a crash may have left
            process.stop()
        log.info("starting Airflow (PostgreSQL, api-server, scheduler, dag-processor)")
        self.home.postgres.start()
        self.home.take_port(self.settings.airflow_port)
        self._migrate(environ)
        for name in self.processes:
            self._start(name, environ)

    def _start(self, name: str, environ: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "airflow", *COMMANDS[name]]
        notes = {"settings": _fingerprint(environ), "schedule": environ["QIANMIAN_SCHEDULE"]}
        self.processes[name].start(command, self.home.environment(environ), ROOT, **notes)

    def _migrate(self, environ: Mapping[str, str]) -> None:
        """Make or upgrade Airflow's tables, once for a version of Airflow and a set of PostgreSQL's files."""
        mark = self.home.postgres.folder / "migrated"
        if mark.exists() and mark.read_text() == version("apache-airflow-core"):
            return
        log.info("making Airflow's tables")
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=self.home.environment(environ),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise StepError(
                f"Airflow's tables could not be made:\n{_last_lines(done.stdout + done.stderr, 20)}",
                f"Move {self.home.postgres.folder} away and start again: only Airflow's history of runs is lost.",
            )
        mark.write_text(version("apache-airflow-core"))

    def _outdated(self, environ: Mapping[str, str]) -> bool:
        return self.processes["scheduler"].recorded().get("settings") != _fingerprint(environ)

    def _refuse_while_running(self) -> None:
        if runs := [run for dag_id in DAG_IDS for run in self.api.active_runs(dag_id)]:
            raise StepError(
                f"Airflow has to be started again with the new settings, and the run {runs[0]} is under way.",
                "Wait for its end (make status), or stop it with `make stop`.",
            )

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        needed = {"metadatabase", "scheduler", "dag_processor"}
        while True:
            for name, process in self.processes.items():
                if process.leader() is None:
                    raise StepError(
                        f"Airflow's {name} ended right after its start:\n{process.log_tail()}",
                        f"The whole log is {process.log_file}. If its last lines name no cause you can mend, try "
                        "`make stop` and the same command again.",
                    )
            health = self.api.health()
            if needed <= {name for name, state in health.items() if state == "healthy"}:
                return
            if time.monotonic() > deadline:
                raise StepError(
                    f"Airflow is not ready after {START_PATIENCE_S} s: {health or 'its API does not answer'}.",
                    f"Look into the logs in {self.home.processes_folder}; is the machine very busy?",
                )
            time.sleep(0.25)

    def _wait_for_dag(self) -> None:
        """Wait until Airflow has read the DAG as it stands now.

        Raises:
            StepError: the DAG's file cannot be imported, or is not read in time.

        """
        parser_started = float(self.processes["dag-processor"].recorded()["started_at"])
        sources = [*(ROOT / "dags").glob("*.py"), SETTINGS_FILE]
        newest = max(parser_started, *(source.stat().st_mtime for source in sources))
        deadline = time.monotonic() + START_PATIENCE_S
        asked: set[str] = set()
        while True:
            for error in self.api.import_errors():
                if _seconds(error["timestamp"]) > newest:
                    trace = f"{error['filename']}:\n{error['stack_trace'].strip()}"
                    raise StepError(f"Airflow cannot read the DAG file {trace}", "Mend what the trace names.")
            dags = {dag_id: self.api.dag(dag_id) for dag_id in DAG_IDS}
            parsed = {dag_id: _seconds(dag["last_parsed_time"]) if dag else 0.0 for dag_id, dag in dags.items()}
            if min(parsed.values()) > newest:
                return
            for dag_id, dag in dags.items():  # edited since: do not wait for the next round
                if dag and parser_started < parsed[dag_id] <= newest and dag_id not in asked:
                    self.api.parse_again(dag["file_token"])
                    asked.add(dag_id)
            if time.monotonic() > deadline:
                raise StepError(
                    f"Airflow has not read the DAGs {' and '.join(DAG_IDS)} within {START_PATIENCE_S} s.",
                    f"Look at {self.processes['dag-processor'].log_file}; is the machine very busy?",
                )
            time.sleep(0.25)

    def _check_disk(self) -> None:
        self.home.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.home.folder).free
        if free < FREE_DISK_BYTES:
            raise StepError(
                f"Only {free / 1e9:.1f} GB are free on the disk of {self.home.home}; a run needs 2 GB.",
                "Make room, or set QIANMIAN_HOME to a folder on a larger disk.",
            )


def _fingerprint(environ: Mapping[str, str]) -> str:
    """Hash of what the tasks take from the environment of the processes that start them."""
    theirs = ("QIANMIAN_", "AWS_", "PG", "GOMP_")
    taken = {name: value for name, value in environ.items() if name.startswith(theirs)}
    return hashlib.sha256(json.dumps(taken, sort_keys=True).encode()).hexdigest()


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _last_lines(text: str, count: int) -> str:
    return "\n".join(text.splitlines()[-count:])


def _line(name: str, pid: int | None, memory: float) -> str:
    return f"{name:<14} " + (f"running  pid {pid:<8} {memory:6.0f} MiB" if pid else "stopped")

"""Airflow's home: its secrets, its ports, and the environment that configures all of its processes.

There is no `airflow.cfg`: what differs from Airflow's defaults stands in `environment`, with the reason.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from qianmian import settings
from qianmian.files import read_json, write_private
from qianmian.ports import LOOPBACK, port_for
from qianmian.postgres import Postgres
from qianmian.settings import ROOT

ADMIN = "admin"
DEFAULT_PORT = 8080


def openlineage_options(lineage: str) -> dict[str, str]:
    """Return the options of Airflow's OpenLineage provider: to a file, to an address, or off.

    A receiver that is down holds a task up for a few seconds and fails none.
    """
    if not lineage:
        return {"disabled": "True"}
    transport: dict[str, object] = {"type": "file", "log_file_path": lineage, "append": True}
    if lineage.startswith(("http://", "https://")):
        transport = {"type": "http", "url": lineage, "timeout": 2.0, "retry": {"total": 1}}
    return {"disabled": "False", "namespace": "qianmian", "transport": json.dumps(transport)}


class AirflowHome:
    """The folder `<home>/airflow` and what is kept in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "airflow"
        self.processes_folder = self.folder / "processes"
        self.task_logs = self.folder / "logs"
        self.lock = self.folder / "lock"
        self._secrets = self._read_or_make_secrets()
        self.postgres = Postgres(self.folder / "postgres", self._secrets["postgres_password"])

    @property
    def password(self) -> str:
        """Password of the UI's user `admin`."""
        return str(self._secrets["admin_password"])

    @property
    def port(self) -> int:
        """Port of UI and API, 0 before the first start."""
        file = self.folder / "port"
        return int(file.read_text()) if file.exists() else 0

    @property
    def url(self) -> str:
        """Address of UI and API."""
        return f"http://{LOOPBACK}:{self.port}"

    def take_port(self, wanted: int) -> None:
        """Choose the port before a start: the wanted one, or else the last one, 8080 or any that is free.

        Raises:
            StepError: a port was asked for and is taken.

        """
        port = port_for("airflow_port", wanted, self.port, DEFAULT_PORT)
        (self.folder / "port").write_text(str(port))

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment of every Airflow process: the caller's, plus Airflow's configuration."""
        options = {
            "core": {
                "executor": "LocalExecutor",
                "dags_folder": str(ROOT / "dags"),
                "load_examples": "False",
                # A paused DAG would not run when triggered either: whether it has a schedule says the DAG.
                "dags_are_paused_at_creation": "False",
                # Processes that wait for tasks. The DAG needs three at once, and one may still clean up.
                "parallelism": "4",
                # Seconds. A changed schedule counts at once: else a backfill right after it is refused for half a
                # minute, as the DAG has none yet.
                "min_serialized_dag_update_interval": "0",
                "fernet_key": self._secrets["fernet_key"],
                "simple_auth_manager_users": f"{ADMIN}:admin",
                "simple_auth_manager_passwords_file": str(self.folder / "passwords.json"),
                "execution_api_server_url": f"{self.url}/execution/",
            },
            "database": {
                "sql_alchemy_conn": self.postgres.url("postgresql+psycopg2"),
                "sql_alchemy_conn_async": self.postgres.url("postgresql+asyncpg"),
            },
            "api": {
                "host": LOOPBACK,
                "port": str(self.port),
                "base_url": self.url,
                "workers": "1",
                "secret_key": self._secrets["api_secret"],
                "instance_name": "千面 Qianmian",
            },
            "api_auth": {"jwt_secret": self._secrets["jwt_secret"]},
            "scheduler": {
                # Between two tasks the scheduler sleeps so long: the default of 1 s is most of the wait. Each look
                # costs, while nothing runs too: at 0.1 s a quarter of a core.
                "scheduler_idle_sleep_time": "0.5",
                # A killed machine's run goes on when its tasks have been silent this long (default 300 s).
                "task_instance_heartbeat_timeout": "60",
            },
            # A task's keeper may notice its end only at its next heartbeat, and be occupied until then.
            "workers": {"min_heartbeat_interval": "1"},
            "dag_processor": {
                # The files change when somebody edits them: parsing less often leaves the cores to the steps.
                "min_file_process_interval": "60",
                "refresh_interval": "30",
                "parsing_processes": "1",
            },
            "logging": {"base_log_folder": str(self.task_logs), "colored_console_log": "False"},
            "usage_data_collection": {"enabled": "False"},
            "openlineage": openlineage_options(settings.load_daily(environ).lineage),
        }
        variables = {
            f"AIRFLOW__{section.upper()}__{option.upper()}": value
            for section, values in options.items()
            for option, value in values.items()
        }
        loopback = f"{LOOPBACK},localhost"
        no_proxy = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), loopback)))
        return {
            **{name: value for name, value in environ.items() if not name.startswith("AIRFLOW_")},
            **variables,
            "AIRFLOW_HOME": str(self.folder),
            "QIANMIAN_HOME": str(self.home),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath))),
            # The services talk to each other on the loopback interface, which no proxy can reach.
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            # Nothing phones home, and no step downloads a model unasked.
            "SCARF_NO_ANALYTICS": "true",
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONUNBUFFERED": "1",
        }

    def _read_or_make_secrets(self) -> dict[str, str]:
        """Read the secrets, making those that are missing; the file is its owner's alone."""
        file = self.folder / "secrets.json"
        kept = read_json(file)
        made = {
            "admin_password": secrets.token_urlsafe(12),
            "postgres_password": secrets.token_urlsafe(24),
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt_secret": secrets.token_urlsafe(48),
            "api_secret": secrets.token_urlsafe(48),
        }
        if made.keys() - kept.keys():
            kept = {**made, **kept}
            write_private(file, json.dumps(kept))
        passwords = self.folder / "passwords.json"
        if read_json(passwords) != {ADMIN: kept["admin_password"]}:
            write_private(passwords, json.dumps({ADMIN: kept["admin_password"]}))
        return kept

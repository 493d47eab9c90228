"""Superset on this machine: its environment, its secrets, its own database, its server."""

from __future__ import annotations

import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bi.assets import write_for
from bi.source import source
from qianmian.files import write_private
from qianmian.ports import LOOPBACK
from qianmian.settings import ROOT, Settings
from qianmian.step import StepError

ENVIRONMENT = ROOT / ".venv-bi"
ADMIN = "admin"
#: Dashboards ask for all charts of a tab at once; DuckDB and psycopg2 let other threads run meanwhile.
THREADS = 8


@dataclass(frozen=True)
class Superset:
    """The Superset of one shop. Charts that people add lie, as ours do, in `<home>/bi/<shop>/superset.db`."""

    shop: Settings

    @property
    def folder(self) -> Path:
        """What it keeps."""
        return self.shop.home / "bi" / self.shop.shop

    @property
    def password(self) -> str:
        """The administrator's, made once."""
        return _secret(self.shop.home / "secrets" / "superset_admin.password", 12)

    def prepare(self) -> str:
        """Bring its database up to date, import the dashboard, and return the name of what it reads.

        Raises:
            StepError: the environment is not built, there are no tables to read, or Superset refuses.

        """
        if not (ENVIRONMENT / "bin" / "gunicorn").exists():
            raise StepError(
                f"Superset is not installed in {ENVIRONMENT}.", "Start it with make bi, which installs it."
            )
        tables = source(self.shop)
        self.folder.mkdir(parents=True, exist_ok=True)
        files = self.folder / "import"
        write_for(tables, self.shop.shop, files)
        log = self.folder / "setup.log"
        with log.open("w") as said:
            done = subprocess.run(
                [ENVIRONMENT / "bin" / "python", Path(__file__).with_name("superset_setup.py"), files],
                env={**self.environ, "QIANMIAN_BI_PASSWORD": self.password},
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            last = "\n".join(log.read_text().splitlines()[-8:])
            raise StepError(
                f"Superset could not be prepared ({log}):\n{last}",
                f"If the lines above name nothing you can mend, move {self.folder} away and start again: only "
                "charts that somebody added in Superset are lost, no table.",
            )
        return tables.name

    def server(self, port: int) -> list[str]:
        """Return the command that serves it on a port of the loopback interface."""
        return [
            str(ENVIRONMENT / "bin" / "gunicorn"),
            f"--bind={LOOPBACK}:{port}",
            "--workers=1",
            "--worker-class=gthread",
            f"--threads={THREADS}",
            "--timeout=120",
            "--log-level=warning",
            "superset.app:create_app()",
        ]

    @property
    def environ(self) -> dict[str, str]:
        """The variables that Superset runs with."""
        key_file = self.shop.home / "secrets" / "superset.key"
        _secret(key_file, 42)
        return {
            **os.environ,
            "SUPERSET_CONFIG_PATH": str(Path(__file__).with_name("superset_config.py")),
            "QIANMIAN_BI_HOME": str(self.folder),
            "QIANMIAN_BI_KEY_FILE": str(key_file),
            "PYTHONWARNINGS": "ignore",
        }


def _secret(file: Path, size: int) -> str:
    """Return a secret of `size` random bytes, made and kept for this user alone the first time."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(size))
    return file.read_text().strip()

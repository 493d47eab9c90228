"""The PostgreSQL server that keeps Airflow's metadata: its binaries come with the wheel `pgserver`.

It listens on the loopback interface alone and asks for a password (SCRAM). PostgreSQL refuses to run as
root, so for root the server and its files belong to the user `nobody`; where `nobody` cannot reach the
home (a project under `/root`, say), binaries and data go to a folder under `/var/tmp` named by the home.
"""

from __future__ import annotations

import getpass
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from qianmian.ports import LOOPBACK, choose_port
from qianmian.step import StepError

log = logging.getLogger("qianmian")

USER = "airflow"
DATABASE = "postgres"
# Metadata of one small Airflow: little memory, and a commit need not wait for the disk. A crash of the
# machine may lose the last half second of task states, never the integrity of the database.
SERVER_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "synchronous_commit": "off",
    "jit": "off",
    "log_min_messages": "warning",
}


class Postgres:
    """One PostgreSQL server, its files under `folder` (or under `/var/tmp`, see the module's text)."""

    def __init__(self, folder: Path, password: str) -> None:
        self.password = password
        self.owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        install = _wheel_folder()
        if self.owner and not (self._reachable(folder) and self._reachable(install)):
            name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
            folder = Path("/var/tmp") / f"qianmian-{name}"  # noqa: S108 - checked to be ours before use
            install = folder / "pgserver"
            self.moved_to: Path | None = folder
        else:
            self.moved_to = None
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "postgres.log"
        self._install = install

    def url(self, driver: str) -> str:
        """SQLAlchemy address for a driver, e.g. `postgresql+psycopg2`."""
        return f"{driver}://{USER}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def port(self) -> int:
        """Port the server listens on, chosen at its last start; 0 before the first."""
        file = self.folder / "port"
        return int(file.read_text()) if file.exists() else 0

    def pid(self) -> int | None:
        """Process id of the running server, None where it is not running.

        `postmaster.pid` outlives a killed machine, and its number may be somebody else's by now: the process
        must also be a server of this very data folder.
        """
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            ours = process.name() == "postgres" and process.cwd() == str(self.data.resolve())
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return pid if ours and process.status() != psutil.STATUS_ZOMBIE else None

    def start(self) -> None:
        """Start the server if it is not running, making its files the first time.

        Raises:
            StepError: it does not start; the error has the log's last lines.

        """
        if self.pid():
            return
        if self.moved_to:
            _make_or_check_own(self.moved_to)
            if not self._install.exists():
                self._copy_binaries()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        port = choose_port(self.port)
        (self.folder / "port").write_text(str(port))
        options = " ".join(f"-c {name}='{value}'" for name, value in SERVER_OPTIONS.items())
        command = ["pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data), "-l", str(self.log_file)]
        for attempt in range(1, 11):
            done = self._run(*command, "-o", f"-p {port} {options}")
            if done.returncode == 0:
                return
            # The children of a killed server need a moment to leave its shared memory.
            if "shared memory block" not in self._log_tail() or attempt == 10:
                break
            time.sleep(1)
        raise StepError(
            f"PostgreSQL, which keeps Airflow's metadata, did not start:\n{self._log_tail()}",
            f"If the lines above tell of no cause you can mend, move {self.folder} away and start again: only "
            "Airflow's own history of runs is lost, no table.",
        )

    def stop(self) -> None:
        """Stop the server if it is running; open connections are closed."""
        if self.pid():
            self._run("pg_ctl", "stop", "-w", "-t", "30", "-m", "fast", "-D", str(self.data))

    def processes(self) -> list[psutil.Process]:
        """Return the server's processes, for showing its memory."""
        pid = self.pid()
        if not pid:
            return []
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]

    def _initialise(self) -> None:
        log.info("making PostgreSQL's files in %s", self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        password_file = self.folder / "initdb_password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self.owner:
            for path in (self.folder, self.data, password_file):
                os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        try:
            done = self._run(
                *("initdb", "-D", str(self.data), "-U", USER, "-A", "scram-sha-256"),
                *("--pwfile", str(password_file), "--encoding=UTF8", "--locale=C", "--no-instructions"),
            )
        finally:
            password_file.unlink()
        if done.returncode:
            shutil.rmtree(self.data)  # half made files would stop every later start
            raise StepError(
                f"PostgreSQL's files could not be made in {self.folder}: {done.stderr.strip()}",
                "Look at the message's cause (disk full, rights of the folder) and start again.",
            )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the files' owner."""
        # pg_ctl's server inherits its output: a pipe would stay open, and be waited for, as long as it runs.
        output = subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE
        return subprocess.run(
            [str(self._install / "pginstall" / "bin" / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            **_as(self.owner),
        )

    def _reachable(self, path: Path) -> bool:
        """Tell whether the files' owner can get to a folder, or to the nearest parent that exists."""
        while not path.exists():
            path = path.parent
        enter = ["/bin/sh", "-c", 'cd "$1"', "sh", str(path)]
        return subprocess.run(enter, cwd="/", stderr=subprocess.DEVNULL, **_as(self.owner)).returncode == 0

    def _copy_binaries(self) -> None:
        wheel = _wheel_folder()
        log.info("the user nobody cannot reach the home: PostgreSQL lives in %s", self.folder)
        libraries = wheel.with_name("pgserver.libs")
        shutil.copytree(libraries, self.folder / libraries.name, dirs_exist_ok=True)
        aside = self.folder / "pgserver.partial"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(wheel, aside)
        aside.rename(self._install)

    def _log_tail(self) -> str:
        if not self.log_file.exists():
            return "(no log was written)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])


def _as(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of subprocess that make the child run as `owner`."""
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec("pgserver")
    if spec is None or spec.origin is None:
        raise StepError("The package pgserver is not installed.", "Run `make install`.")
    return Path(spec.origin).parent


def _make_or_check_own(path: Path) -> None:
    """Make a folder in a place where everybody may write, and refuse one that somebody else made."""
    path.mkdir(mode=0o755, exist_ok=True)
    stat = path.lstat()
    if path.is_symlink() or stat.st_uid not in (os.geteuid(), pwd.getpwnam("nobody").pw_uid):
        raise StepError(
            f"{path} belongs to somebody else (user id {stat.st_uid}), you are {getpass.getuser()}.",
            "Remove that folder, or set QIANMIAN_HOME to a folder that every user may enter.",
        )

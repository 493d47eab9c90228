"""Long-lived processes of the local Airflow: each leads a session of its own, and is known by a file.

Everything a process starts (Airflow's workers, the steps they run, Spark's Java) stays in its session,
also when its parent died, so that stopping finds all of it. The file tells pid and start time: after a
crash or a reboot the same number may be somebody else's process, which is never touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from qianmian.files import read_json, write_private
from qianmian.step import StepError

LOG_BYTES_KEPT = 20_000_000
_CLOCK_TOLERANCE_S = 1.0  # a process's start time is derived from ticks since boot


@dataclass(frozen=True)
class ManagedProcess:
    """One process by name; `folder` holds its file `<name>.json` and its log `<name>.log`."""

    name: str
    folder: Path

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.name}.json"

    def recorded(self) -> dict[str, str | float]:
        """What was written down at its start: pid, started_at, and the caller's notes."""
        return read_json(self._file)

    def leader(self) -> psutil.Process | None:
        """Return the running process, None where it has ended (or its number is somebody else's)."""
        record = self.recorded()
        try:
            process = psutil.Process(int(record["pid"]))
            same = abs(process.create_time() - float(record["started_at"])) < _CLOCK_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (KeyError, psutil.NoSuchProcess):
            return None

    def members(self) -> list[psutil.Process]:
        """Return the process and everything it started that still runs, also where it has ended itself."""
        record = self.recorded()
        if not record:
            return []
        pid, started_at = int(record["pid"]), float(record["started_at"])
        if self.leader() is None and psutil.pid_exists(pid) and not _is_zombie(pid):
            return []  # the number was given anew, which happens only after its whole session ended
        found = []
        for process in psutil.process_iter():
            try:
                ours = os.getsid(process.pid) == pid
                if (
                    ours
                    and process.create_time() > started_at - _CLOCK_TOLERANCE_S
                    and not _is_zombie(process.pid)
                ):
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found

    def start(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path, **notes: str) -> None:
        """Start the process, after ending what a crashed one may have left. `notes` are kept beside its pid."""
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES_KEPT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log_file:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=cwd,
                start_new_session=True,
            )
        record = {"pid": child.pid, "started_at": psutil.Process(child.pid).create_time(), **notes}
        write_private(self._file, json.dumps(record))

    def stop(self, patience_s: float = 10.0) -> bool:
        """End the process and all it started: asked first, killed after `patience_s`. Tell if any was there.

        Raises:
            StepError: a process does not end even when killed (it hangs in the kernel, on a lost disk say).

        """
        members = self.members()
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        if self._wait_for_end(patience_s) and (stuck := self._wait_for_end(patience_s, kill=True)):
            pids = ", ".join(str(process.pid) for process in stuck)
            raise StepError(
                f"{self.name} does not end: processes {pids}.", "Look at them with ps; restart the machine."
            )
        self._file.unlink(missing_ok=True)
        return bool(members)

    def _wait_for_end(self, seconds: float, kill: bool = False) -> list[psutil.Process]:
        """Wait until nothing is left, killing what appears meanwhile if told to; return what is left."""
        deadline = time.monotonic() + seconds
        while (left := self.members()) and time.monotonic() < deadline:
            for process in left if kill else ():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        return left

    def log_tail(self, lines: int = 30) -> str:
        """Return the log's last lines."""
        if not self.log_file.exists():
            return "(no log)"
        with self.log_file.open("rb") as file:
            file.seek(max(0, self.log_file.stat().st_size - 200 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def memory_mib(processes: Sequence[psutil.Process]) -> float:
    """Sum the memory of processes in MiB, pages that several share counted once (PSS)."""
    total = 0
    for process in processes:
        try:
            full = process.memory_full_info()
            total += getattr(full, "pss", full.rss)
        except psutil.Error:
            continue
    return total / 2**20


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

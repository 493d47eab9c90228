"""Small disks: file systems of a few MiB that a test can fill up, and make room on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.candidate_tables import candidate_tables, check_result, write_candidates, write_check_results


class SmallDisk:
    """A file system of its own in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leaving: int = 0) -> None:
        """Take up all but `leaving` bytes."""
        with self._ballast.open("ab") as file:
            free = shutil.disk_usage(self.folder).free - leaving
            file.write(b"x" * max(free, 0))

    def make_room(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink()


def prepare_run(lake: Path, day: str, run_id: str, users: int = 3) -> None:
    """Leave a run's candidate tables and checks in a lake."""
    write_candidates(lake, candidate_tables(day, run_id, users=users))
    write_check_results(lake, day, run_id, [check_result()])


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], SmallDisk]]:
    """Mount file systems of so many MiB, which every user may enter; only root can."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted: list[Path] = []

    def mount(mebibytes: int) -> SmallDisk:
        folder = Path(tempfile.mkdtemp(prefix="qianmian-disk-"))
        options = f"size={mebibytes}m,mode=755"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode:
            folder.rmdir()
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return SmallDisk(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()

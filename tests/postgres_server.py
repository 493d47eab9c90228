"""A PostgreSQL server of the tests' own, as the local Airflow has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qianmian.postgres import Postgres


@contextmanager
def postgres_server(folder: Path, password: str) -> Iterator[Postgres]:
    """Start a server, stop it in the end, and delete what it kept outside of the folder."""
    running = Postgres(folder, password)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        if running.moved_to:
            shutil.rmtree(running.moved_to)

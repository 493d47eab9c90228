"""A lake with a run ready to be published."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import PUBLISHED, history_dir
from tests.candidate_tables import (
    GENERATED_AT,
    candidate_tables,
    check_result,
    write_candidates,
    write_check_results,
)
from warehouse.history import history_file
from warehouse.publish import publish
from warehouse.runs import PipelineRun, recorded_runs

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def prepare(lake: Path) -> Callable[..., None]:
    """Leave a run's candidate tables and checks in the lake."""

    def prepare_run(as_of: str, run_id: str, users: int = 3) -> None:
        write_candidates(lake, candidate_tables(as_of, run_id, users=users))
        write_check_results(lake, as_of, run_id, [check_result()])

    return prepare_run


@pytest.fixture
def run_day(lake: Path, warehouse: Path, prepare: Callable[..., None]) -> Callable[..., dict[str, Any]]:
    """Prepare a run and publish it."""
    started = iter(GENERATED_AT + timedelta(hours=hour) for hour in range(100))

    def run(as_of: str, run_id: str, users: int = 3) -> dict[str, Any]:
        prepare(as_of, run_id, users)
        return publish(lake, as_of, run_id, warehouse, next(started), "c" * 64)

    return run


@pytest.fixture
def as_of_before(lake: Path) -> Callable[[], None]:
    """Give every file of history the name that earlier releases gave it: its run's alone."""

    def rename() -> None:
        for run in recorded_runs(lake):
            for table in PUBLISHED:
                file = history_file(lake, table, run)
                if file.exists():
                    file.rename(history_dir(lake, table, str(run.as_of_date)) / f"{run.run_id}.parquet")

    return rename


@pytest.fixture
def recorded(lake: Path) -> Callable[[str], PipelineRun]:
    """Return a run's row as the lake has it."""
    return lambda run_id: next(run for run in recorded_runs(lake) if run.run_id == run_id)


@pytest.fixture
def query(warehouse: Path) -> Query:
    """Ask the warehouse in place, through a connection of its own."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return ask


@pytest.fixture
def hold_open() -> Iterator[Callable[[Path], None]]:
    """Open a warehouse for writing in a process of its own, as an analyst's shell does."""
    held = []
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute('create table mine (a int)');"
        "print('open', flush=True); sys.stdin.read()"
    )

    def hold(warehouse: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(warehouse)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        held.append(process)
        assert process.stdout
        assert process.stdout.readline() == "open\n"

    yield hold
    for process in held:
        process.kill()
        process.wait()

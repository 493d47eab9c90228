"""A run that is published again under its id: a task cleared in Airflow, a backfill with AGAIN."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from expectations.tables import PUBLISHED, history_dir
from tests.candidate_tables import GENERATED_AT
from warehouse import publish as publishing
from warehouse.history import history_file
from warehouse.rebuild import rebuild
from warehouse.record_refusal import record_refusal
from warehouse.rollback import rollback
from warehouse.runs import PipelineRun

Query = Callable[[str], list[tuple[Any, ...]]]
RunDay = Callable[..., dict[str, Any]]
USERS = (
    "select (select count(*) from user_portraits), (select count(distinct user_id) from home_recommendations),"
    " (select count(distinct user_id) from homepage_layouts), (select count(*) from user_portraits_history)"
)
#: Stops itself in the midst of the tables, as a machine that is switched off does.
DIES = """
import os, signal, sys
from warehouse import publish
written, write = [], publish.write_history
def dies(rows, table, file):
    write(rows, table, file)
    written.append(file)
    if len(written) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
publish.write_history = dies
publish.main(sys.argv[1:])
"""


def killed_midway(lake: Path, warehouse: Path, as_of: str, run_id: str) -> None:
    run = ["--lake", str(lake), "--as-of", as_of, "--run-id", run_id, "--warehouse", str(warehouse)]
    done = subprocess.run(
        [sys.executable, "-c", DIES, *run, "--generated-at", "2026-11-02T06:00:00", "--config-hash", "c"],
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(params=["this release", "the release before"])
def published_once(
    request: pytest.FixtureRequest,
    run_day: RunDay,
    as_of_before: Callable[[], None],
    lake: Path,
    warehouse: Path,
) -> None:
    """Publish a run, with the names of this release or of the one before."""
    run_day("2026-10-31", "r1")
    if request.param == "the release before":
        as_of_before()
        rebuild(lake, warehouse)


@pytest.mark.usefixtures("published_once")
@pytest.mark.parametrize("then", ["look", "refuse", "rebuild"])
def test_an_attempt_that_is_killed_midway_leaves_what_stands(
    prepare: Callable[..., None], query: Query, lake: Path, warehouse: Path, then: str
) -> None:
    prepare("2026-10-31", "r1", users=5)
    killed_midway(lake, warehouse, "2026-10-31", "r1")
    if then == "refuse":
        record_refusal(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "publish", "killed")
    if then == "rebuild":
        rebuild(lake, warehouse)
    assert query(USERS) == [(3, 3, 3, 3)]


@pytest.mark.usefixtures("published_once")
def test_published_again_it_stands_whole_and_the_attempt_before_goes_with_the_next_publishing(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, recorded: Callable[[str], PipelineRun]
) -> None:
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        run_day("2026-10-31", "r1", users=5)
        # Whoever has the warehouse before open reads its history, not that of the later attempt.
        assert reader.execute(USERS).fetchall() == [(3, 3, 3, 3)]
    assert query(USERS) == [(5, 5, 5, 5)]
    folder = history_dir(lake, "user_portraits", "2026-10-31")
    assert len(list(folder.iterdir())) == 2
    run_day("2026-11-01", "r2")
    assert list(folder.iterdir()) == [history_file(lake, "user_portraits", recorded("r1"))]
    rollback(lake, warehouse, "x")
    assert query(USERS) == [(5, 5, 5, 5)]


def test_attempts_that_break_off_do_not_fill_the_disk(
    prepare: Callable[..., None], run_day: RunDay, lake: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run_day("2026-10-30", "r0")
    prepare("2026-10-31", "r1")
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "swap_in", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                publishing.publish(lake, "2026-10-31", "r1", warehouse, GENERATED_AT, "c")
    for table in PUBLISHED:
        assert len(list(history_dir(lake, table, "2026-10-31").iterdir())) == 1


def test_files_of_other_days_that_no_run_is_known_of_are_left_alone(
    run_day: RunDay, lake: Path, recorded: Callable[[str], PipelineRun]
) -> None:
    run_day("2026-10-30", "r0")
    file = history_file(lake, "user_portraits", recorded("r0"))
    theirs = file.with_name("somebody.parquet")
    theirs.write_bytes(file.read_bytes())
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2")
    assert theirs.exists()


def test_a_run_may_be_called_like_another_with_more_behind_it(run_day: RunDay, query: Query) -> None:
    run_day("2026-10-30", "r")
    run_day("2026-10-31", "r~1")
    run_day("2026-10-31", "r~1", users=4)
    run_day("2026-11-01", "r2")
    history = "select run_id, count(*) from user_portraits_history group by 1 order by 1"
    assert query(history) == [("r", 3), ("r2", 3), ("r~1", 4)]

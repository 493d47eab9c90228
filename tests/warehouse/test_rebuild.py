"""The warehouse made again from the lake while others publish, and a warehouse that is older than the lake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.candidate_tables import (
    GENERATED_AT,
    candidate_tables,
    check_result,
    write_candidates,
    write_check_results,
)
from warehouse.publish import publish
from warehouse.swap import only_publisher

Query = Callable[[str], list[tuple[Any, ...]]]
RunDay = Callable[..., dict[str, Any]]
RUNS = "select run_id, is_latest from pipeline_runs order by as_of_date"


def test_a_run_published_while_the_rebuild_waited_is_not_lost(
    run_day: RunDay, query: Query, lake: Path, warehouse: Path, tmp_path: Path
) -> None:
    run_day("2026-10-30", "r1")
    # What a publisher does while it holds the lock: here on a copy, whose files then take the place of these.
    other = tmp_path / "other"
    shutil.copytree(lake, other / "lake")
    with only_publisher(warehouse):
        command = [sys.executable, "-m", "warehouse.rebuild", "--lake", str(lake), "--warehouse", str(warehouse)]
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert waiting.stderr
        while "waiting for it" not in waiting.stderr.readline():
            assert waiting.poll() is None
            time.sleep(0.01)
        theirs = _published_elsewhere(other, warehouse)
        shutil.copytree(other / "lake", lake, dirs_exist_ok=True)
        os.replace(theirs, warehouse)
    waiting.communicate()
    assert waiting.returncode == 0
    assert query(RUNS) == [("r1", False), ("r2", True)]


def _published_elsewhere(other: Path, warehouse: Path) -> Path:
    theirs = other / "warehouse.duckdb"
    shutil.copyfile(warehouse, theirs)
    write_candidates(other / "lake", candidate_tables("2026-10-31", "r2"))
    write_check_results(other / "lake", "2026-10-31", "r2", [check_result()])
    publish(other / "lake", "2026-10-31", "r2", theirs, GENERATED_AT, "c")
    return theirs


def test_a_warehouse_brought_back_from_a_backup_gets_its_later_runs_with_the_next_publishing(
    run_day: RunDay, query: Query, warehouse: Path, tmp_path: Path
) -> None:
    run_day("2026-10-30", "r1")
    shutil.copyfile(warehouse, tmp_path / "backup")
    run_day("2026-10-31", "r2", users=4)
    shutil.copyfile(tmp_path / "backup", warehouse)
    run_day("2026-10-29", "r0")
    assert query(RUNS) == [("r0", False), ("r1", False), ("r2", True)]
    assert query("select distinct run_id, count(*) from user_portraits group by 1") == [("r2", 4)]

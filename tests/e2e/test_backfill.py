"""A backfill through real Airflow: the right days, in order, one at a time; on request, the same tables.

QIANMIAN_BACKFILL_DAYS (0) is how many days of a small shop are backfilled and compared with the same days run by
their commands, table by table: some minutes each.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from bench import backfill as bench
from qianmian.backfill import backfill
from qianmian.local_airflow import DAG_ID, DAG_IDS
from qianmian.step import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import AirflowForTests

DAYS = int(os.environ.get("QIANMIAN_BACKFILL_DAYS", "0"))
FIRST, LAST = date(2026, 9, 20), date(2026, 9, 22)


@pytest.fixture
def scheduled(airflow: AirflowForTests, monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowForTests]:
    """Airflow with a schedule, which serves a shop without data meanwhile; without one again afterwards."""
    # All of them: Airflow is started again with what stands in the environment, the key of the pseudonyms too.
    for name, value in airflow.environ.items():
        if name.startswith("QIANMIAN_"):
            monkeypatch.setenv(name, value)
    with monkeypatch.context() as meanwhile:
        meanwhile.setenv("QIANMIAN_DAILY_SHOP", "nobody")
        airflow.local.up(schedule="0 2 * * *")
        _wait_for_missed(airflow)
        yield airflow
        _wait_for_missed(airflow)
    airflow.local.up(schedule="")


def _wait_for_missed(airflow: AirflowForTests) -> None:
    """Wait for what a schedule starts at once: this morning's missed day, this week's missed training."""
    for dag_id in DAG_IDS:
        for run_id in airflow.api.active_runs(dag_id):
            airflow.wait(run_id, 180, dag_id)


def test_days_in_order_one_at_a_time(scheduled: AirflowForTests) -> None:
    """Of a shop without data, so that each day is refused within seconds: which days ran is what counts here."""
    states = backfill(scheduled.local, "nothing", FIRST, LAST)
    assert states == {"2026-09-20": "failed", "2026-09-21": "failed", "2026-09-22": "failed"}
    with duckdb.connect(str(scheduled.settings("nothing").warehouse), read_only=True) as connection:
        refused = connection.execute(
            "select as_of_date::varchar from pipeline_runs where run_id like 'backfill%' and status = 'refused' "
            "order by generated_at, as_of_date"
        ).fetchall()
    assert refused == [("2026-09-20",), ("2026-09-21",), ("2026-09-22",)]
    runs = scheduled.api.runs_due(DAG_ID, "2026-09-21T00:00:00Z", "2026-09-23T23:59:59Z")
    assert [run["run_type"] for run in runs] == ["backfill"] * 3
    for one, other in pairwise(runs):
        assert datetime.fromisoformat(one["end_date"]) <= datetime.fromisoformat(other["start_date"])
    with pytest.raises(StepError, match="later than TO"):
        backfill(scheduled.local, "nothing", LAST, FIRST)
    # Another shop's backfill of the same days neither counts these runs as its own nor writes over them.
    assert backfill(scheduled.local, "void", FIRST, FIRST) == {"2026-09-20": "failed"}
    after = scheduled.api.runs_due(DAG_ID, "2026-09-21T00:00:00Z", "2026-09-23T23:59:59Z")
    known = ("dag_run_id", "conf", "end_date")
    assert [[run[name] for name in known] for run in after] == [[run[name] for name in known] for run in runs]
    with duckdb.connect(str(scheduled.settings("void").warehouse), read_only=True) as connection:
        assert connection.execute("select as_of_date::varchar, status from pipeline_runs").fetchall() == [
            ("2026-09-20", "refused")
        ]


@pytest.mark.skipif(not DAYS, reason="takes minutes a day: QIANMIAN_BACKFILL_DAYS=2 runs it")
def test_backfilled_days_are_those_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="qianmian-backfill-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL's own user passes through it where the tests run as root
        bench.main([folder, "--days", str(DAYS), "--by-airflow", str(DAYS), "--users", "200"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["failed_days"] == []
    assert result["differing_rows"] == {}

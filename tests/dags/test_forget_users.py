"""The DAG that forgets: its tasks, its texts, whose schedule it follows."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from .test_personalize_daily import DAGS, read_dag


@pytest.fixture(scope="module")
def dag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS)).dags["forget_users"]


def test_targets_come_before_the_search_and_retention_in_any_case(dag: Any) -> None:
    targets = {"forget_in_postgres", "forget_in_s3"}
    assert dag.get_task("forget_users").downstream_task_ids == {*targets, "apply_retention"}
    assert dag.get_task("close_receipts").upstream_task_ids == targets
    assert dag.get_task("close_receipts").trigger_rule == "none_failed"
    assert dag.get_task("apply_retention").trigger_rule == "all_done"
    assert all(dag.get_task(task_id).needs.startswith("{{ run.settings.") for task_id in targets)
    assert dag.max_active_runs == 1
    # A daily run may be at work for an hour, and each try waits ten minutes for it.
    assert all(task.retries == 5 for task in dag.tasks)
    assert not dag.catchup


def test_every_task_tells_the_person_on_call_what_to_do(dag: Any) -> None:
    assert "What to do" in dag.doc_md
    assert all("**Failure" in task.doc_md for task in dag.tasks)


@pytest.mark.parametrize(("daily", "timetable"), [("30 1 * * *", "CronTriggerTimetable"), ("", "NullTimetable")])
def test_no_daily_schedule_means_none_here_either(daily: str, timetable: str) -> None:
    assert read_dag("from forget_users import dag; print(type(dag.timetable).__name__)", daily) == timetable


def test_every_step_knows_the_arguments_it_is_given(dag: Any) -> None:
    for task in dag.tasks:
        text = subprocess.run([sys.executable, *task.argv[1:3], "--help"], capture_output=True, text=True).stdout
        known = set(re.findall(r"--[a-z0-9-]+", text))
        assert {argument.split("=")[0] for argument in task.argv[3:]} <= known

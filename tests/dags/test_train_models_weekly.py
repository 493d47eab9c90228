"""The weekly DAG: its tasks, its texts, whose schedule it follows."""

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

    return DagBag(str(DAGS)).dags["train_models_weekly"]


def test_it_trains_then_decides(dag: Any) -> None:
    assert [task.task_id for task in dag.topological_sort()] == [
        "train_encoder", "promote_encoder", "embed_for_training", "train_recommender", "promote_recommender",
    ]  # fmt: skip
    assert all(len(task.downstream_task_ids) <= 1 for task in dag.tasks)
    assert not dag.catchup
    assert dag.max_active_runs == 1
    assert "What to do" in dag.doc_md
    assert all("**Failure" in task.doc_md for task in dag.tasks)
    assert list(dag.params) == ["shop", "as_of"]


@pytest.mark.parametrize(("daily", "timetable"), [("30 1 * * *", "CronTriggerTimetable"), ("", "NullTimetable")])
def test_no_daily_schedule_means_no_training_either(daily: str, timetable: str) -> None:
    code = "from train_models_weekly import dag; print(type(dag.timetable).__name__)"
    assert read_dag(code, daily) == timetable


def test_every_step_knows_the_arguments_it_is_given(dag: Any) -> None:
    for task in dag.tasks:
        text = subprocess.run([sys.executable, *task.argv[1:3], "--help"], capture_output=True, text=True).stdout
        known = set(re.findall(r"--[a-z0-9-]+", text))
        assert {argument.split("=")[0] for argument in task.argv[3:]} <= known

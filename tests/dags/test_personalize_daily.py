"""The DAG's policy: its shape, its texts, its form, and that reading it is cheap."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
STEPS = [
    *("prepare", "land", "clean", "check_clean", "build_features", "embed_items"),
    *("portray", "recommend", "lay_out_pages", "evaluate", "build_tables", "check_tables", "publish"),
]
TARGETS = {"publish_postgres", "publish_s3"}
HEAVY = (
    *("torch", "transformers", "sentence_transformers", "great_expectations", "boto3"),
    *("pyspark", "duckdb", "dbt", "pandas", "numpy"),
)


@pytest.fixture(scope="module")
def dag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS))
    assert {*bag.dag_ids} >= {"check_freshness", "personalize_daily", "train_models_weekly"}
    assert bag.import_errors == {}
    return bag.dags["personalize_daily"]


def test_the_tasks_are_those_of_the_picture_in_its_order(dag: Any) -> None:
    assert {*dag.task_ids} == {*STEPS, "published", "record_refusal", *TARGETS}
    for task_id, next_id in pairwise(STEPS):
        assert dag.get_task(task_id).downstream_task_ids == {next_id}


def test_targets_hear_of_a_published_and_of_a_refused_run(dag: Any) -> None:
    for task_id in TARGETS:
        task = dag.get_task(task_id)
        assert task.upstream_task_ids == {"publish", "record_refusal"}
        assert task.trigger_rule == "one_success"
        assert task.needs.startswith("{{ run.settings.")


def test_a_failure_of_any_step_is_recorded_and_still_fails_the_run(dag: Any) -> None:
    assert dag.get_task("publish").downstream_task_ids == {"published", "record_refusal", *TARGETS}
    assert {leaf.task_id for leaf in dag.leaves} == {"published", *TARGETS}
    assert dag.get_task("record_refusal").trigger_rule == "one_failed"
    rules = {dag.get_task(task_id).trigger_rule for task_id in (*STEPS, "published")}
    assert rules == {"all_success"}


def test_the_dag_and_every_task_tell_the_person_on_call_what_to_do(dag: Any) -> None:
    assert "What to do" in dag.doc_md
    for task in dag.tasks:
        assert task.doc_md, task.task_id
        if task.task_id != "published":
            assert "**Failure" in task.doc_md, task.task_id
        assert task.owner == "data-platform"
    assert dag.tags


def test_the_form_explains_each_field(dag: Any) -> None:
    assert list(dag.params) == ["shop", "as_of", "full_refresh", "source"]
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"], name
        assert len(param.description) > 20, name
    assert {"simulated", "online_retail"} <= set(dag.params.get_param("shop").schema["examples"])


def test_one_run_at_a_time_no_catching_up_and_one_more_try(dag: Any) -> None:
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert {task.retries for task in dag.tasks} == {1}


@pytest.mark.parametrize(
    ("hours", "limits"), [({}, "6.0 24.0"), ({"QIANMIAN_TASK_TIMEOUT_HOURS": "0"}, "None 24.0")]
)
def test_a_task_that_hangs_does_not_hold_up_all_later_days(hours: dict[str, str], limits: str) -> None:
    code = """
import check_freshness, forget_users, personalize_daily, train_models_weekly
def hours(*modules):
    limits = {task.execution_timeout for module in modules for task in module.dag.tasks}
    (limit,) = limits
    return limit and limit.total_seconds() / 3600
print(hours(check_freshness, forget_users, personalize_daily), hours(train_models_weekly))
"""
    assert read_dag(code, "0 2 * * *", **hours) == limits


def read_dag(code: str, schedule: str, **settings: str) -> str:
    """Read the DAG in a process of its own, as Airflow does, with settings in the environment."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(DAGS)!r})\n{code}"],
        env={**os.environ, "QIANMIAN_SCHEDULE": schedule, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("schedule", "timetable"), [("30 1 * * *", "CronTriggerTimetable"), ("", "NullTimetable")]
)
def test_the_schedule_is_the_settings(schedule: str, timetable: str) -> None:
    code = "from personalize_daily import dag; print(type(dag.timetable).__name__)"
    assert read_dag(code, schedule) == timetable


def test_reading_the_dag_imports_nothing_heavy_and_takes_no_time() -> None:
    code = f"""
import time, airflow.sdk, airflow.providers.standard.operators.empty
before = set(sys.modules)
start = time.process_time()
import personalize_daily
seconds = time.process_time() - start
heavy = [m for m in set(sys.modules) - before if m.split(".")[0] in {HEAVY!r}]
print(round(seconds, 2), *heavy)
"""
    seconds, *heavy = read_dag(code, "").split()
    assert heavy == []
    assert float(seconds) < 1.0


def test_every_step_knows_the_arguments_it_is_given(dag: Any) -> None:
    # dbt builds two; `published` runs nothing
    steps = [task for task in dag.tasks if hasattr(task, "argv") and "--" not in task.argv]
    assert len(steps) == len(STEPS) - 2 + len(TARGETS) + 1
    helps = [subprocess.Popen([*s.argv[:3], "--help"], stdout=subprocess.PIPE, text=True) for s in steps]
    for task, process in zip(steps, helps, strict=True):
        known = set(re.findall(r"--[a-z0-9-]+", process.communicate()[0]))
        given = {flag for argument in task.argv[3:] for flag in re.findall(r"^(?:{{ ')?(--[a-z0-9-]+)", argument)}
        assert len(given) == len(task.argv[3:]), task.argv
        assert given <= known, task.task_id

"""Lineage: every task has its place in the flow, what one reads another wrote, and the events' classes take it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import lineage
import pytest
from daily_run import DailyRun


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DailyRun:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    monkeypatch.setenv("QIANMIAN_POSTGRES_TARGET", "postgresql://writer@db.shop.cn:5433/bi")
    monkeypatch.setenv("QIANMIAN_S3_TARGET", "s3://bucket/published")
    moment = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
    dag_run = SimpleNamespace(run_type="manual", run_id="r1", logical_date=None, run_after=moment)
    return DailyRun.from_context({"params": {"shop": "simulated", "as_of": "2026-10-30"}, "dag_run": dag_run})


def tasks() -> list[Any]:
    """All tasks that run something, each DAG's in an order in which they may run."""
    import check_freshness
    import forget_users
    import personalize_daily
    import train_models_weekly

    dags = (personalize_daily.dag, train_models_weekly.dag, forget_users.dag, check_freshness.dag)
    return [task for dag in dags for task in dag.topological_sort() if hasattr(task, "argv")]


def test_every_task_has_its_place() -> None:
    assert {task.task_id for task in tasks()} <= set(lineage.FLOW)


def test_what_a_task_reads_an_earlier_one_wrote(run: DailyRun) -> None:
    """What comes from outside, or from an earlier run, is known by name."""
    written: set[tuple[str, str]] = set()
    for task in tasks():
        facets = lineage.facets(task.task_id, run)
        for dataset in facets.inputs:
            earlier_run = "/lake/models/" in dataset.name or dataset.name.endswith("/embeddings")
            assert (dataset.namespace, dataset.name) in written or earlier_run, (task.task_id, dataset.name)
        written |= {(dataset.namespace, dataset.name) for dataset in facets.outputs}


def test_names_are_openlineages(run: DailyRun, tmp_path: Path) -> None:
    shop = tmp_path / "simulated"
    assert lineage.place("clean/items", run) == ("file", f"{shop}/lake/clean/items")
    assert lineage.place("features/user_features", run) == (
        "duckdb",
        f"{shop}/lake/features.duckdb/features.user_features",
    )
    assert lineage.place("postgres/hot_items", run) == ("postgres://db.shop.cn:5433", "bi.qianmian.hot_items")
    assert lineage.place("s3/hot_items", run) == ("s3://bucket", "published/tables/hot_items")


def test_targets_that_are_not_set_are_nowhere(run: DailyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTGRES", "S3"):
        monkeypatch.setenv(f"QIANMIAN_{name}_TARGET", "")
    moment = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
    dag_run = SimpleNamespace(run_type="manual", run_id="r1", logical_date=None, run_after=moment)
    plain = DailyRun.from_context({"params": {"shop": "simulated"}, "dag_run": dag_run})
    assert lineage.facets("publish_postgres", plain).outputs == []
    assert lineage.facets("publish_s3", plain).outputs == []


def test_the_events_classes_take_it(run: DailyRun) -> None:
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.serde import Serde

    for task in tasks():
        facets = lineage.facets(task.task_id, run)
        event = RunEvent(
            eventType=RunState.COMPLETE,
            eventTime="2026-11-02T02:00:00+00:00",
            run=Run(runId=str(uuid4())),
            job=Job(namespace="qianmian", name=task.task_id),
            inputs=facets.inputs,
            outputs=facets.outputs,
            producer="https://example.invalid/qianmian",
        )
        told = json.loads(Serde.to_json(event))
        assert len(told["outputs"]) == len(facets.outputs)
        names = [(one["namespace"], one["name"]) for one in told["inputs"]]
        assert len(set(names)) == len(names), f"{task.task_id} reads one twice"
    published = lineage.facets("publish", run).outputs
    columns = published[0].facets["schema"].fields
    assert {"user_id", "as_of_date", "run_id"} <= {column.name for column in columns}

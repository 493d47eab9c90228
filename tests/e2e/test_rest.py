"""The daily DAG over REST, without a browser, and what a run that cannot work says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qianmian.local_airflow import TRAINING_DAG_ID

if TYPE_CHECKING:
    from conftest import AirflowForTests


def test_a_run_publishes(airflow: AirflowForTests, published_run: str) -> None:
    states = airflow.states(published_run)
    # Nothing to record, and no further target is set.
    assert {states.pop(task) for task in ("record_refusal", "publish_postgres", "publish_s3")} == {"skipped"}
    assert set(states.values()) == {"success"}
    assert airflow.settings("simulated").warehouse.is_file()


def test_a_run_without_data_fails_at_once_with_the_steps_own_words(
    airflow: AirflowForTests, tmp_path: Path
) -> None:
    run_id = airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(tmp_path))
    assert airflow.wait(run_id, 120) == "failed"
    states = airflow.states(run_id)
    assert (states["land"], states["publish"], states["record_refusal"]) == (
        "failed",
        "upstream_failed",
        "success",
    )
    tasks = {task["task_id"]: task["try_number"] for task in airflow.api.tasks("personalize_daily", run_id)}
    assert tasks["land"] == 1  # exit code 2: not tried again
    log = airflow.log(run_id, "land")
    assert "ERROR in land:" in log
    assert "WHAT TO DO:" in log


def test_training_before_any_daily_run_says_what_to_do(airflow: AirflowForTests) -> None:
    run_id = airflow.trigger(TRAINING_DAG_ID, shop="nothing", as_of="2026-10-31")
    assert airflow.wait(run_id, 120, TRAINING_DAG_ID) == "failed"
    states = airflow.states(run_id, TRAINING_DAG_ID)
    assert (states["train_encoder"], states["promote_recommender"]) == ("failed", "upstream_failed")
    log = airflow.log(run_id, "train_encoder", dag_id=TRAINING_DAG_ID)
    assert "WHAT TO DO: Build the features first" in log

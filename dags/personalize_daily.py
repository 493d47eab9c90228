"""From a shop's feeds to its published tables, once a day: what runs after what.

Each task is a command that also runs without Airflow; the exact one is the first line of its log.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alerts
import on_call
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, chain
from dag_form import DAILY, DEFAULT_ARGS, SPARK, WHICH_DAY
from step_operator import StepOperator, step

from qianmian import settings

DBT_PROJECT = settings.ROOT / "dbt_project"

PARAMS = {
    **WHICH_DAY,
    "full_refresh": Param(
        False,
        type="boolean",
        title="Full refresh",
        description="Compute all days anew, not only those that changed. Slower; the same tables come out.",
    ),
    "source": Param(
        None,
        type=["null", "string"],
        title="Source",
        description="Folder or s3://bucket/prefix with the shop's data. Empty: as the settings say.",
    ),
}

FULL_REFRESH = "{{ '--full-refresh' if run.full_refresh }}"
WAREHOUSE: dict[str, Any] = {"warehouse": "{{ run.settings.warehouse }}", "generated_at": "{{ run.generated_at }}"}
TARGET = {"trigger_rule": "one_success", "on_failure_callback": alerts.failed}


def dbt_build(task_id: str, select: str) -> StepOperator:
    """Make the task that builds and tests one layer of the dbt project."""
    return StepOperator(
        task_id=task_id,
        argv=(
            # One run at a time works on a shop: dbt holds it as the other steps do by themselves.
            *(sys.executable, "-m", "qianmian.shop_lock", f"--step={task_id}"),
            *("--lake={{ run.lake }}", "--as-of={{ run.as_of }}", "--run-id={{ run.run_id }}", "--"),
            str(Path(sys.executable).with_name("dbt")),
            "build",
            f"--select={select}",
            f"--project-dir={DBT_PROJECT}",
            f"--profiles-dir={DBT_PROJECT}",
            "--target-path={{ run.lake }}/dbt_target",
            "--log-path={{ run.lake }}/dbt_logs",
            "--vars={{ run.dbt_vars }}",
            "--exclude-resource-type=unit_test",  # of code, not of data: the tests run them
            "--no-use-colors",
        ),
        environ={"QIANMIAN_LAKE": "{{ run.lake }}"},
        final_exit_codes=(1,),  # dbt's own meaning: a model or a test failed; 2 is a defect or a lost machine
        remedy=on_call.DBT_REMEDY,
        doc_md=on_call.TASKS[task_id],
    )


with DAG(
    dag_id="personalize_daily",
    description="User portraits and home recommendations with their reasons, checked, then published",
    doc_md=on_call.DAG,
    schedule=DAILY.schedule or None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["daily", "publishes"],
    # Of a step that stops the run `record_refusal` tells, once it is recorded; what may fail besides tells itself.
    default_args={**DEFAULT_ARGS, "on_failure_callback": None},
) as dag:
    prepare = step(
        "prepare",
        "feeds.prepare",
        adapter="{{ run.settings.adapter }}",
        source="{{ run.source }}",
        feeds="{{ run.feeds }}",
        truth="{{ run.truth }}",
        users="{{ run.settings.simulated_users }}",
        seed="{{ run.settings.simulated_seed }}",
    )
    land = step("land", "feeds.land", source="{{ run.feeds }}", endpoint_url="{{ run.settings.s3_endpoint_url }}")
    clean = step("clean", "spark_jobs.clean", FULL_REFRESH, **SPARK)
    check_clean = step("check_clean", "expectations.run", stage="clean")
    build_features = dbt_build("build_features", "tag:features")
    embed_items = step("embed_items", "ml.text_encoder.embed_items", model="{{ run.settings.text_encoder }}")
    portray = step("portray", "ml.portraits.portray", portrait_writer="{{ run.settings.portrait_writer }}")
    recommend = step(
        "recommend",
        "ml.recommender.recommend_home",
        variety="{{ run.settings.list_variety }}",
        exploration_slots="{{ run.settings.exploration_slots }}",
    )
    lay_out_pages = step("lay_out_pages", "ml.homepage.lay_out_pages")
    evaluate = step("evaluate", "ml.recommender.evaluate_home")
    build_tables = dbt_build("build_tables", "tag:published")
    check_tables = step("check_tables", "expectations.run", stage="tables")
    publish = step("publish", "warehouse.publish", config_hash="{{ run.config_hash }}", **WAREHOUSE)
    # Runs nothing. Recording a refusal well is no success of the run: this second end makes the run fail.
    published = EmptyOperator(task_id="published", doc_md=on_call.TASKS["published"])
    # Whichever step failed, `publish` comes out as "upstream failed", which counts.
    record_refusal = step(
        "record_refusal",
        "warehouse.record_refusal",
        of_airflow={
            "trigger_rule": "one_failed",
            "on_success_callback": alerts.refused,
            "on_failure_callback": [alerts.refused, alerts.failed],
        },
        failed_step="{{ run.failure.step }}",
        why="{{ run.failure.why }}",
        **WAREHOUSE,
    )

    # Of a refused run they bring the row in `pipeline_runs` that says so; the tables stay.
    publish_postgres = step(
        "publish_postgres",
        "warehouse.targets.postgres",
        of_airflow=TARGET,
        needs="{{ run.settings.postgres_target }}",
        warehouse="{{ run.settings.warehouse }}",
        address="{{ run.settings.postgres_target }}",
        schema="{{ run.settings.postgres_schema }}",
        reader_role="{{ run.settings.postgres_reader_role }}",
    )
    publish_s3 = step(
        "publish_s3",
        "warehouse.targets.s3",
        of_airflow=TARGET,
        needs="{{ run.settings.s3_target }}",
        warehouse="{{ run.settings.warehouse }}",
        to="{{ run.settings.s3_target }}",
        endpoint_url="{{ run.settings.s3_endpoint_url }}",
    )

    chain(prepare, land, clean, check_clean, build_features, embed_items)
    chain(embed_items, portray, recommend, lay_out_pages, evaluate, build_tables, check_tables, publish)
    publish >> [published, record_refusal]
    for target in (publish_postgres, publish_s3):
        [publish, record_refusal] >> target

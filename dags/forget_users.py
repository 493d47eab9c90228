"""Whoever asked for it is forgotten, and what was kept long enough is deleted: what runs after what.

Rests for a shop without requests: then the tasks end in seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import on_call
from airflow.sdk import DAG, chain
from dag_form import DAILY, DEFAULT_ARGS, SPARK, WHICH_DAY
from step_operator import step

KEY: dict[str, Any] = {"pseudonym_key_file": "{{ run.settings.pseudonym_key_file }}"}
WAREHOUSE: dict[str, Any] = {"warehouse": "{{ run.settings.warehouse }}"}
#: Where users are beside the lake: nothing of the shop's own, only what was written here.
WRITTEN: dict[str, Any] = {
    "feeds": "{{ run.settings.shop_dir }}/feeds",
    "truth": "{{ run.truth }}",
    "logs": "{{ run.settings.home }}/airflow/logs",
}
POSTGRES: dict[str, Any] = {
    "address": "{{ run.settings.postgres_target }}",
    "schema": "{{ run.settings.postgres_schema }}",
}
S3: dict[str, Any] = {"to": "{{ run.settings.s3_target }}", "endpoint_url": "{{ run.settings.s3_endpoint_url }}"}

with DAG(
    dag_id="forget_users",
    description="Users who asked for it are forgotten everywhere, with a receipt; what was kept long enough goes",
    doc_md=on_call.FORGETTING_DAG,
    # Who switches the daily schedule off means this one too.
    schedule=(DAILY.schedule and DAILY.forget_schedule) or None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=WHICH_DAY,
    tags=["privacy"],
    # A try waits ten minutes for a daily run at work, which may take an hour; whoever is forgotten has days.
    default_args={**DEFAULT_ARGS, "retries": 5},
) as dag:
    forget_users = step("forget_users", "privacy.forget_users", **SPARK, **WAREHOUSE, **WRITTEN)
    forget_in_postgres = step(
        "forget_in_postgres", "privacy.forget_in_postgres", needs="{{ run.settings.postgres_target }}", **POSTGRES
    )
    forget_in_s3 = step("forget_in_s3", "privacy.forget_in_s3", needs="{{ run.settings.s3_target }}", **S3)
    # A target that is not set is skipped; one that failed leaves the receipts open.
    close_receipts = step(
        "close_receipts",
        "privacy.close_receipts",
        of_airflow={"trigger_rule": "none_failed"},
        **KEY,
        **WAREHOUSE,
        **WRITTEN,
        **POSTGRES,
        **S3,
    )
    # Requests that wait for a target are no reason to keep everything else longer.
    apply_retention = step(
        "apply_retention",
        "privacy.apply_retention",
        of_airflow={"trigger_rule": "all_done"},
        keep_history_days="{{ run.settings.keep_history_days }}",
        keep_quarantine_days="{{ run.settings.keep_quarantine_days }}",
        keep_reports_days="{{ run.settings.keep_reports_days }}",
        **WAREHOUSE,
    )
    chain(forget_users, [forget_in_postgres, forget_in_s3], close_receipts)
    [forget_users, close_receipts] >> apply_retention

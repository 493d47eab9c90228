"""At the hour by which they should be there: are the day's tables in place? If not, somebody is told.

It asks the warehouse and not the daily run, which may be paused, refused, waiting, or never have been started
(decision 17).
"""

from __future__ import annotations

from datetime import UTC, datetime

import alerts
import on_call
from airflow.sdk import DAG
from dag_form import DAILY, DEFAULT_ARGS, WHICH_DAY
from step_operator import step

with DAG(
    dag_id="check_freshness",
    description="Are the day's tables in place at the hour that publish_by names?",
    doc_md=on_call.FRESHNESS_DAG,
    # Who switches the daily schedule off means this one too.
    schedule=(DAILY.schedule and DAILY.publish_by_cron) or None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=WHICH_DAY,
    tags=["daily", "watches"],
    default_args={**DEFAULT_ARGS, "on_failure_callback": alerts.late},
) as dag:
    step("check_freshness", "warehouse.freshness", warehouse="{{ run.settings.warehouse }}")

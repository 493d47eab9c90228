"""Once a week: a recommender trained on all but the last 7 days, promoted only if it wins on those.

Reads what the daily run has left for the same day; the next daily run serves whoever is champion then.
"""

from __future__ import annotations

from datetime import UTC, datetime

import on_call
from airflow.sdk import DAG
from dag_form import DAILY, DEFAULT_ARGS, WHICH_DAY
from step_operator import step

TRACKING = {"shop": "{{ run.settings.shop }}", "mlflow_home": "{{ run.settings.mlflow_home }}"}

with DAG(
    dag_id="train_models_weekly",
    description="A recommender trained, measured on later days, promoted if it wins",
    doc_md=on_call.TRAINING_DAG,
    # Who switches the daily schedule off means this one too.
    schedule=(DAILY.schedule and DAILY.train_schedule) or None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=WHICH_DAY,
    tags=["weekly", "trains"],
    default_args=DEFAULT_ARGS,
) as dag:
    train = step("train_recommender", "ml.recommender.train_recommender", **TRACKING)
    promote = step("promote_recommender", "ml.recommender.promote_recommender", **TRACKING)
    train >> promote

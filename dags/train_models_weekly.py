"""Once a week: text encoder fine-tuned, recommender trained on it; each promoted only if it wins on later days.

Reads what the daily run has left for the same day; the next daily run serves whoever is champion then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import on_call
from airflow.sdk import DAG, chain
from dag_form import DAILY, DEFAULT_ARGS, WHICH_DAY, time_limit
from step_operator import step

TRACKING: dict[str, Any] = {"shop": "{{ run.settings.shop }}", "mlflow_home": "{{ run.settings.mlflow_home }}"}
TEXT_MODEL = "{{ run.settings.text_encoder }}"

with DAG(
    dag_id="train_models_weekly",
    description="Text encoder and recommender trained, measured on later days, promoted if they win",
    doc_md=on_call.TRAINING_DAG,
    # Who switches the daily schedule off means this one too.
    schedule=(DAILY.schedule and DAILY.train_schedule) or None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=WHICH_DAY,
    tags=["weekly", "trains"],
    default_args={**DEFAULT_ARGS, "execution_timeout": time_limit(DAILY.training_timeout_hours)},
) as dag:
    train_encoder = step(
        "train_encoder",
        "ml.text_encoder.fine_tuning.train_encoder",
        **TRACKING,
        base_model=TEXT_MODEL,
        method="{{ run.settings.text_fine_tuning }}",
        time_budget="{{ run.settings.text_fine_tuning_seconds }}",
    )
    promote_encoder = step("promote_encoder", "ml.text_encoder.fine_tuning.promote_encoder", **TRACKING)
    embed_for_training = step(
        "embed_for_training", "ml.text_encoder.embed_items", "--for-training", model=TEXT_MODEL
    )
    train_recommender = step(
        "train_recommender",
        "ml.recommender.train_recommender",
        **TRACKING,
        time_budget="{{ run.settings.recommender_training_seconds }}",
    )
    promote_recommender = step("promote_recommender", "ml.recommender.promote_recommender", **TRACKING)
    chain(train_encoder, promote_encoder, embed_for_training, train_recommender, promote_recommender)

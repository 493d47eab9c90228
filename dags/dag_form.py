"""What the DAGs have in common: whose schedule they follow, and what their forms ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import alerts
from airflow.sdk import Param

from qianmian import settings

DAILY = settings.load_daily()


def time_limit(hours: int) -> timedelta | None:
    """Return how long one try of a task may take; 0 hours are no limit.

    Tasks have one and runs have none: Airflow ends a run that is over its time without its last tasks, and so
    without the record of its refusal.
    """
    return timedelta(hours=hours) if hours else None


DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 1,
    "retry_delay": timedelta(seconds=10),
    # One run at a time: a task that hangs would hold up all later days.
    "execution_timeout": time_limit(DAILY.task_timeout_hours),
    "on_failure_callback": alerts.failed,
}
WHICH_DAY = {
    "shop": Param(
        DAILY.shop,
        type="string",
        title="Shop",
        description="Name of the shop: its section in qianmian.toml, its folder under the home.",
        examples=settings.shop_names(),
        pattern="^[A-Za-z0-9_-]+$",
    ),
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date",
        title="As-of date",
        description="Day to run for; nothing later is read. Empty: the shop's default, else yesterday (UTC).",
    ),
}
#: What cleaning takes, by whichever step it is done.
SPARK: dict[str, Any] = {
    "pseudonym_key_file": "{{ run.settings.pseudonym_key_file }}",
    "max_quarantined_share": "{{ run.settings.max_quarantined_share }}",
    "master": "{{ run.settings.spark_master }}",
    "driver_memory": "{{ run.settings.spark_driver_memory }}",
    "spark_options": "{{ run.settings.spark_options }}",
}

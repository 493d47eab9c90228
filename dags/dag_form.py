"""What the DAGs have in common: whose schedule they follow, and what their forms ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import alerts
from airflow.sdk import Param

from qianmian import settings

DAILY = settings.load_daily()
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 1,
    "retry_delay": timedelta(seconds=10),
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
}

"""What the DAGs have in common: whose schedule they follow, and what their forms ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param

from qianmian import settings

DAILY = settings.load_daily()
DEFAULT_ARGS: dict[str, Any] = {"owner": "data-platform", "retries": 1, "retry_delay": timedelta(seconds=10)}
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

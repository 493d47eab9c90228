"""What is the same for every task of one run: the shop's settings, the day, the names.

All of it follows from the run's parameters and its trigger time, so that each task, on whatever day it is
tried again, works it out alike. Templates reach it as `run`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expectations.tables import run_dir
from qianmian import settings
from qianmian.settings import Settings
from qianmian.step import StepError, iso_date, write_atomically


@dataclass(frozen=True)
class DailyRun:
    """One run of the daily job."""

    settings: Settings
    run_id: str
    as_of: str
    generated_at: str
    source: str
    full_refresh: bool

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> DailyRun:
        """Work out the run from Airflow's context (`dag_run` and `params`).

        Raises:
            StepError: a parameter cannot be used; the text says which.

        """
        params, dag_run = context["params"], context["dag_run"]
        shop = settings.load(params["shop"])
        scheduled = dag_run.run_type in ("scheduled", "backfill")
        moment: datetime = (dag_run.logical_date if scheduled else None) or dag_run.run_after
        return cls(
            settings=shop,
            run_id=dag_run.run_id,
            as_of=_day(params.get("as_of") or shop.as_of(moment, scheduled)),
            generated_at=dag_run.run_after.astimezone(UTC).isoformat(timespec="seconds"),
            source=params.get("source") or shop.source,
            full_refresh=bool(params.get("full_refresh")),
        )

    @property
    def lake(self) -> Path:
        """The shop's lake."""
        return self.settings.lake

    @property
    def feeds(self) -> str:
        """Where landing finds the feeds: the source itself, or what the adapter makes of it."""
        if self.settings.adapter == "feeds":
            return self.source
        return str(self.settings.shop_dir / "feeds")

    @property
    def truth(self) -> Path:
        """Where the simulated shop keeps its truth: no step but forgetting reads it."""
        return self.settings.shop_dir / "truth"

    @property
    def config_hash(self) -> str:
        """SHA-256 over the settings that shape the tables."""
        return self.settings.config_hash(self.source)

    @property
    def dbt_vars(self) -> str:
        """Dbt's variables, as JSON."""
        return json.dumps(
            {
                "as_of_date": self.as_of,
                "run_id": self.run_id,
                "generated_at": self.generated_at,
                "currency": self.settings.currency,
                "time_zone": self.settings.time_zone,
                "full_refresh_features": self.full_refresh,
            }
        )

    @property
    def failure_file(self) -> Path:
        """Where a failed step says why, for whoever records the refusal."""
        return run_dir(self.lake, self.run_id) / "failed_step.json"

    @property
    def failure(self) -> dict[str, str]:
        """Which `step` failed and `why`; a task that was killed could not say it."""
        if self.failure_file.exists():
            return dict(json.loads(self.failure_file.read_text()))
        return {"step": "unknown", "why": "A task ended without a word: it was killed, or the machine was."}

    def record_failure(self, step: str, why: str) -> None:
        """Say which step failed and why."""
        write_atomically(self.failure_file, json.dumps({"step": step, "why": why}, ensure_ascii=False))

    def forget_failure(self, step: str) -> None:
        """A step passed: what an earlier attempt of it said of a failure no longer holds."""
        if self.failure["step"] == step:
            self.failure_file.unlink(missing_ok=True)


def _day(text: str) -> str:
    try:
        return iso_date(text)
    except argparse.ArgumentTypeError as error:
        raise StepError(
            f"The as-of date is no day: {error}", "Trigger again with a day such as 2011-11-30."
        ) from None

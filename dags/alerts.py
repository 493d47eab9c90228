"""Who is told when a task fails, a run is refused or the day's tables are late: the log, and a webhook if set.

Airflow calls these as callbacks of tasks. One trouble, one message: of a daily run that stops before publishing it
is `refused`, when the refusal has been recorded; of anything else it is `failed`, after the last try.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import webhook
from daily_run import DailyRun

from qianmian import settings
from qianmian.step import StepError

log = logging.getLogger("qianmian.alerts")

_REMEDY_MARK = "WHAT TO DO:"
_NO_WORD = "The task ended without a word: it was killed, or the machine was."
_READ_LOG = "Read the task's log; trying again may help: clear the task."
_HEADLINES = {
    "failed": "{shop}: {step} failed, day {as_of_date}",
    "refused": "{shop}: the run of {as_of_date} was refused at {step}; readers keep the last good tables",
    "late": "{shop}: the tables of {as_of_date} are late",
}


@dataclass(frozen=True)
class Alert:
    """What somebody has to know. `kind` is failed, refused or late; `at` is UTC, ISO 8601."""

    kind: str
    shop: str
    as_of_date: str
    dag_id: str
    run_id: str
    step: str
    why: str
    remedy: str
    link: str
    at: str

    def text(self) -> str:
        """Return the message in words."""
        headline = _HEADLINES[self.kind].format(**asdict(self))
        return f"Qianmian · {headline}\n{self.why}\nWhat to do: {self.remedy}\nRun {self.run_id}: {self.link}"


def failed(context: Mapping[str, Any]) -> None:
    """Tell that a task failed for good."""
    _tell("failed", context, context["ti"].task_id, str(context.get("exception") or ""))


def refused(context: Mapping[str, Any]) -> None:
    """Tell that a daily run was refused; its row is in `pipeline_runs` by now."""
    failure = DailyRun.from_context(context).failure
    _tell("refused", context, failure["step"], failure["why"])


def late(context: Mapping[str, Any]) -> None:
    """Tell that the day's tables are not in place in time."""
    _tell("late", context, context["ti"].task_id, str(context.get("exception") or ""))


def _tell(kind: str, context: Mapping[str, Any], step: str, said: str) -> None:
    why, _, remedy = said.partition(_REMEDY_MARK)
    why = why.strip().removeprefix(f"ERROR in {step}: ") or _NO_WORD
    params, ti = context["params"], context["ti"]
    try:
        as_of = DailyRun.from_context(context).as_of
    except StepError:
        as_of = str(params.get("as_of"))  # the day itself is at fault
    alert = Alert(
        kind=kind,
        shop=params["shop"],
        as_of_date=as_of,
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        step=step,
        why=why,
        remedy=remedy.strip() or _READ_LOG,
        link=getattr(ti, "log_url", ""),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    log.error("ALERT %s", alert.text())
    try:
        address = settings.alert_webhook()
    except OSError as error:
        log.error("alert not sent: its address cannot be read: %s", error)
        return
    if address:
        webhook.send(address, _format(alert.shop), alert.text(), asdict(alert))


def _format(shop: str) -> str:
    """Return `alert_format`; where the settings are at fault, that is what has to be told, somehow."""
    try:
        return settings.load(shop).alert_format
    except StepError as error:
        log.error("the alert is sent as json: %s", error)
        return "json"

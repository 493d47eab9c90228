"""Who is told what: real posts to a real receiver, one that refuses, one that is down; and no address in a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import alerts
import pytest
import webhook
from daily_run import DailyRun

from tests.receiver import SECRET, Receiver

SAID = "ERROR in land: row 3 of x.csv is cut off.\nWHAT TO DO: mend x.csv"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    running = Receiver()
    monkeypatch.setenv("QIANMIAN_ALERT_WEBHOOK", running.address)
    yield running
    running.stop()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    moment = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
    link = "http://127.0.0.1:8080/dags/personalize_daily/runs/manual__1/tasks/land"
    return {
        "params": {"shop": "simulated", "as_of": "2026-10-30", "full_refresh": False, "source": None},
        "dag_run": SimpleNamespace(run_type="manual", run_id="manual__1", logical_date=None, run_after=moment),
        "ti": SimpleNamespace(task_id="land", dag_id="personalize_daily", run_id="manual__1", log_url=link),
        "exception": RuntimeError(SAID),
    }


def test_a_failure_says_what_where_why_and_what_to_do(context: dict[str, Any], receiver: Receiver) -> None:
    alerts.failed(context)
    (got,) = receiver.got
    assert got.pop("text") == (
        "Qianmian · simulated: land failed, day 2026-10-30\nrow 3 of x.csv is cut off.\nWhat to do: mend x.csv\n"
        "Run manual__1: http://127.0.0.1:8080/dags/personalize_daily/runs/manual__1/tasks/land"
    )
    assert datetime.fromisoformat(got.pop("at")).tzinfo
    assert got == {
        "kind": "failed",
        "shop": "simulated",
        "as_of_date": "2026-10-30",
        "dag_id": "personalize_daily",
        "run_id": "manual__1",
        "step": "land",
        "why": "row 3 of x.csv is cut off.",
        "remedy": "mend x.csv",
        "link": context["ti"].log_url,
    }


def test_a_refusal_names_the_step_that_stopped_the_run(context: dict[str, Any], receiver: Receiver) -> None:
    DailyRun.from_context(context).record_failure("check_tables", SAID.replace("land", "check_tables"))
    context["ti"].task_id = "record_refusal"
    alerts.refused(context)
    (got,) = receiver.got
    assert (got["kind"], got["step"], got["why"]) == ("refused", "check_tables", "row 3 of x.csv is cut off.")
    assert "readers keep the last good tables" in got["text"]


def test_a_task_that_was_killed_is_told_of_too(context: dict[str, Any], receiver: Receiver) -> None:
    del context["exception"]
    alerts.late(context)
    assert receiver.got[0]["kind"] == "late"
    assert "without a word" in receiver.got[0]["why"]
    assert receiver.got[0]["remedy"]


def test_settings_at_fault_are_told_too(
    context: dict[str, Any], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QIANMIAN_POSTGRES_TARGET", "postgresql://writer:hunter2@db/bi")
    alerts.failed(context)
    assert receiver.got[0]["why"] == "row 3 of x.csv is cut off."


def test_a_day_that_is_none_is_told_as_it_was_given(context: dict[str, Any], receiver: Receiver) -> None:
    context["params"]["as_of"] = "yesterday"
    alerts.failed(context)
    assert receiver.got[0]["as_of_date"] == "yesterday"


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("slack", ("text",)),
        ("feishu", ("content", "text")),
        ("dingtalk", ("text", "content")),
        ("wecom", ("text", "content")),
    ],
)
def test_the_messengers_forms(receiver: Receiver, form: str, path: tuple[str, ...]) -> None:
    assert webhook.send(receiver.address, form, "Qianmian · 千面", {"shop": "x"})
    got: Any = receiver.got[0]
    assert "shop" not in got
    assert ("msg_type" in got, "msgtype" in got) == (form == "feishu", form in ("dingtalk", "wecom"))
    for name in path:
        got = got[name]
    assert got == "Qianmian · 千面"


def test_busy_is_tried_again_refused_is_not(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PAUSES_S", (0.0, 0.01, 0.01))
    receiver.answers = [(503, b""), (429, b"")]
    assert webhook.send(receiver.address, "json", "a", {})
    assert len(receiver.got) == 3
    for answer in ((404, b""), (200, b'{"errcode": 310000, "errmsg": "keywords not in content"}')):
        receiver.got.clear()
        receiver.answers = [answer]
        assert not webhook.send(receiver.address, "dingtalk", "a", {})
        assert len(receiver.got) == 1
    assert "the webhook answered 404" in caplog.text
    assert "keywords not in content" in caplog.text


@pytest.mark.parametrize("down", ["closed", "silent", "nonsense"])
def test_a_webhook_that_is_down_fails_nothing_and_its_address_is_in_no_log(
    context: dict[str, Any],
    receiver: Receiver,
    down: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(webhook, "PAUSES_S", (0.0, 0.01))
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)
    if down == "closed":
        receiver.server.server_close()
    elif down == "silent":
        receiver.server.shutdown()  # connections are taken in by the system, and nobody answers
    else:
        monkeypatch.setenv("QIANMIAN_ALERT_WEBHOOK", f"http://[{SECRET}")
    began = time.monotonic()
    alerts.failed(context)
    assert time.monotonic() - began < 20
    assert "ALERT Qianmian · simulated: land failed" in caplog.text
    assert "alert not sent" in caplog.text
    assert SECRET not in caplog.text


def test_without_a_webhook_the_log_has_it(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QIANMIAN_ALERT_WEBHOOK", raising=False)
    alerts.failed(context)
    assert "What to do: mend x.csv" in caplog.text
    assert "alert not sent" not in caplog.text


def test_the_webhook_may_stand_in_a_file(
    context: dict[str, Any], receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QIANMIAN_ALERT_WEBHOOK")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "alert_webhook").write_text(f"{receiver.address}\n")
    alerts.failed(context)
    assert len(receiver.got) == 1


def test_one_trouble_is_one_message() -> None:
    """Which tasks tell: those whose failure no recorded refusal tells of."""
    import check_freshness
    import personalize_daily
    import train_models_weekly

    def callbacks(dag: Any, name: str) -> dict[str, list[Any]]:
        return {task.task_id: list(getattr(task, name)) for task in dag.tasks if getattr(task, name)}

    assert callbacks(personalize_daily.dag, "on_failure_callback") == {
        "record_refusal": [alerts.refused, alerts.failed],
        "publish_postgres": [alerts.failed],
        "publish_s3": [alerts.failed],
    }
    assert callbacks(personalize_daily.dag, "on_success_callback") == {"record_refusal": [alerts.refused]}
    assert set(callbacks(train_models_weekly.dag, "on_failure_callback")) == set(train_models_weekly.dag.task_ids)
    assert callbacks(check_freshness.dag, "on_failure_callback") == {"check_freshness": [alerts.late]}

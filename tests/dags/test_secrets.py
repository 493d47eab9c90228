"""Secrets in the environment of a publishing by the DAG's own tasks, every target set: they turn up nowhere."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import alerts
import personalize_daily
import psutil
import psycopg2
import pytest
from airflow.sdk.exceptions import AirflowFailException
from daily_run import DailyRun

from expectations.tables import run_dir
from qianmian.postgres import Postgres
from tests.candidate_tables import candidate_tables, check_result, write_candidates, write_check_results
from tests.postgres_server import postgres_server
from tests.receiver import SECRET, Receiver

DAY = "2026-10-30"
SECRETS = {
    "PGPASSWORD": "pg-hunter2-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-hunter2-secret",
    "QIANMIAN_PSEUDONYM_KEY": "key-hunter2-secret-of-32-characters!",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://airflow:meta-hunter2-secret@db/airflow",
}
TOKENS = (SECRET, "meta-hunter2-secret", *(v for k, v in SECRETS.items() if not k.startswith("AIRFLOW")))


class CommandLines(threading.Thread):
    """Keeps every command line on the machine that is of this project, as `ps` shows it, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            for process in psutil.process_iter():
                try:
                    self.seen.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres_server(tmp_path_factory.mktemp("postgres"), SECRETS["PGPASSWORD"]) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture
def context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Postgres, s3_endpoint: str, receiver: Receiver
) -> dict[str, Any]:
    """A run of a shop with every target set, ready to be published, and its secrets where they belong."""
    settings = {
        "QIANMIAN_HOME": str(tmp_path),
        "QIANMIAN_ALERT_WEBHOOK": receiver.address,
        "QIANMIAN_POSTGRES_TARGET": f"postgresql://airflow@127.0.0.1:{server.port}/postgres",
        "QIANMIAN_S3_TARGET": "s3://secrets-test/shop",
        "QIANMIAN_S3_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in {**settings, **SECRETS}.items():
        monkeypatch.setenv(name, value)
    bucket(s3_endpoint).create_bucket(Bucket="secrets-test")
    lake = tmp_path / "simulated" / "lake"
    write_candidates(lake, candidate_tables(DAY, "manual__1"))
    write_check_results(lake, DAY, "manual__1", [check_result()])
    return context_of_a_run()


def context_of_a_run() -> dict[str, Any]:
    """What Airflow hands to a task and to its callbacks."""
    moment = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
    return {
        "params": {"shop": "simulated", "as_of": DAY, "full_refresh": False, "source": None},
        "dag_run": SimpleNamespace(run_type="manual", run_id="manual__1", logical_date=None, run_after=moment),
        "ti": SimpleNamespace(
            task_id="publish", dag_id="personalize_daily", run_id="manual__1", log_url="http://x"
        ),
    }


def bucket(endpoint: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint)


def run_task(task_id: str, context: dict[str, Any]) -> str:
    """Run one task of the DAG as Airflow would; return its rendered fields, as the UI shows them."""
    task: Any = personalize_daily.dag.get_task(task_id).prepare_for_execution()
    task.render_template_fields(context)
    task.execute(context)
    return json.dumps({name: getattr(task, name) for name in task.template_fields})


def test_no_secret_is_in_a_log_a_process_list_a_rendered_field_a_report_or_a_table(
    context: dict[str, Any],
    server: Postgres,
    s3_endpoint: str,
    receiver: Receiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    lines = CommandLines()
    lines.start()
    shown = [run_task(task_id, context) for task_id in ("publish", "publish_postgres", "publish_s3")]
    DailyRun.from_context(context).record_failure("check_tables", "ERROR in check_tables: bad\nWHAT TO DO: mend")
    shown.append(run_task("record_refusal", context))
    alerts.refused(context)
    shown.append(run_task("publish_postgres", context))
    lines.ended.set()
    lines.join()

    # It all took place: what is looked through below is not empty.
    lake = tmp_path / "simulated" / "lake"
    steps = ("publish", "publish_postgres", "publish_s3")
    assert {f"{step}.json" for step in steps} <= {file.name for file in run_dir(lake, "manual__1").iterdir()}
    assert any("warehouse.targets.postgres" in line for line in lines.seen)
    assert len(receiver.got) == 1

    out, err = capfd.readouterr()
    places = {
        "log": caplog.text + out + err,
        "process list": "\n".join(lines.seen),
        "rendered fields": "\n".join(shown),
        "alert": json.dumps(receiver.got),
        "PostgreSQL": everything_in(server),
        "PostgreSQL's log": server.log_file.read_text(),
    }
    for file in tmp_path.rglob("*"):
        if file.is_file():
            places[str(file)] = file.read_bytes().decode("latin-1")
    client = bucket(s3_endpoint)
    for found in client.list_objects_v2(Bucket="secrets-test")["Contents"]:
        body = client.get_object(Bucket="secrets-test", Key=found["Key"])["Body"].read()
        places[f"s3 {found['Key']}"] = body.decode("latin-1")
    assert len(places) > 30
    assert [(token, place) for place, text in places.items() for token in TOKENS if token in text] == []


def everything_in(server: Postgres) -> str:
    """Return all rows of all tables of ours, as text."""
    said = []
    connection = psycopg2.connect(f"host=127.0.0.1 port={server.port} user=airflow dbname=postgres")
    with connection, connection.cursor() as cursor:
        cursor.execute("select schemaname, tablename from pg_tables where schemaname like 'qianmian%'")
        for schema, table in cursor.fetchall():
            cursor.execute(f'select t::text from "{schema}"."{table}" t')
            said += [row for (row,) in cursor.fetchall()]
        cursor.execute("select query from pg_stat_activity")
        said += [row or "" for (row,) in cursor.fetchall()]
    connection.close()
    assert len(said) > 20
    return "\n".join(said)


def test_a_password_in_the_address_stops_the_run_before_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    monkeypatch.setenv("QIANMIAN_POSTGRES_TARGET", "postgresql://writer:pg-hunter2-secret@127.0.0.1/bi")
    with pytest.raises(AirflowFailException, match="postgres_target holds a password") as failed:
        run_task("publish_postgres", context_of_a_run())
    assert "PGPASSWORD" in str(failed.value)
    assert "hunter2" not in str(failed.value) + caplog.text

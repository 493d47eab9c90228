"""What Airflow tells of its runs: alerts to a webhook, lineage to a file; and what it tells nobody."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianmian.local_airflow import TRAINING_DAG_ID
from tests.receiver import SECRET, Receiver

if TYPE_CHECKING:
    from conftest import AirflowForTests


def told_of(receiver: Receiver, run_id: str, seconds: float = 30) -> list[dict[str, Any]]:
    """Return what the receiver got about a run, waiting for the first: callbacks come after the task's end."""
    deadline = time.monotonic() + seconds
    while not (got := [one for one in receiver.got if one["run_id"] == run_id]) and time.monotonic() < deadline:
        time.sleep(0.5)
    return got


def test_a_refused_run_is_told_once_with_its_reason(
    airflow: AirflowForTests, receiver: Receiver, tmp_path: Path
) -> None:
    run_id = airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(tmp_path))
    assert airflow.wait(run_id, 180) == "failed"
    (got,) = told_of(receiver, run_id)
    assert (got["kind"], got["shop"], got["as_of_date"], got["step"]) == (
        "refused",
        "nothing",
        "2026-10-31",
        "land",
    )
    assert got["why"]
    assert got["remedy"]
    assert got["link"].startswith(f"{airflow.url}/dags/personalize_daily/runs/manual__")
    assert "alert sent (json)" in airflow.log(run_id, "record_refusal")


def test_a_failed_training_and_late_tables_are_told(airflow: AirflowForTests, receiver: Receiver) -> None:
    training = airflow.trigger(TRAINING_DAG_ID, shop="nothing", as_of="2026-10-31")
    check = airflow.trigger("check_freshness", shop="nothing", as_of="2026-11-30")
    assert airflow.wait(training, 180, TRAINING_DAG_ID) == "failed"
    assert airflow.wait(check, 180, "check_freshness") == "failed"
    (got,) = told_of(receiver, training)
    assert (got["kind"], got["step"]) == ("failed", "train_encoder")
    (got,) = told_of(receiver, check)
    assert (got["kind"], got["as_of_date"]) == ("late", "2026-11-30")
    assert "published" in got["why"]


def test_lineage_of_a_run_hangs_together(airflow: AirflowForTests, published_run: str) -> None:
    events = [json.loads(line) for line in Path(airflow.environ["QIANMIAN_LINEAGE"]).read_text().splitlines()]
    ours = [one for one in events if one["run"]["facets"].get("airflow", {}).get("dagRun", {}).get("run_id")
            == published_run and one["job"]["name"].count(".") == 1]  # fmt: skip
    by_step: dict[str, dict[str, dict[str, Any]]] = {}
    for event in ours:
        by_step.setdefault(event["job"]["name"].split(".")[1], {})[event["eventType"]] = event
    ran = {task for task, state in airflow.states(published_run).items() if state == "success"} - {"published"}
    assert ran <= set(by_step)
    written: set[str] = set()
    for task in airflow.api.tasks("personalize_daily", published_run):  # as they ran
        if task["task_id"] not in ran:
            continue
        told = by_step[task["task_id"]]
        assert set(told) == {"START", "COMPLETE"}, task["task_id"]
        assert told["START"]["run"]["runId"] == told["COMPLETE"]["run"]["runId"]
        assert told["START"]["job"]["namespace"] == "qianmian"
        assert told["COMPLETE"]["run"]["facets"]["parent"]["job"]["name"] == "personalize_daily"
        for dataset in told["COMPLETE"]["inputs"]:
            before = "/lake/models/" in dataset["name"] or dataset["name"].endswith("/embeddings")
            assert dataset["name"] in written or before, (task["task_id"], dataset["name"])
        written |= {dataset["name"] for dataset in told["COMPLETE"]["outputs"]}
    assert any(name.endswith("warehouse.duckdb/main.home_recommendations") for name in written)


def test_no_secret_is_in_a_log_a_report_or_a_rendered_field(
    airflow: AirflowForTests, published_run: str, tmp_path: Path, receiver: Receiver
) -> None:
    run_id = airflow.trigger(shop="nothing", as_of="2026-10-31", source=str(tmp_path))
    airflow.wait(run_id, 180)
    told_of(receiver, run_id)
    home = Path(airflow.environ["QIANMIAN_HOME"])
    airflows = json.loads((home / "airflow" / "secrets.json").read_text())
    secrets = {"webhook": SECRET, "pseudonym key": airflow.environ["QIANMIAN_PSEUDONYM_KEY"], **airflows}
    kept = {"secrets.json", "passwords.json"}
    # PostgreSQL's own files hold what Airflow serialised: asked for below, through the API.
    files = [
        file
        for file in home.rglob("*")
        if file.is_file() and file.name not in kept and "postgres" not in file.relative_to(home).parts
    ]
    assert len(files) > 100
    leaks = [
        (name, str(file)) for file in files for name, value in secrets.items() if value.encode() in read(file)
    ]
    assert leaks == []
    for run in (published_run, run_id):
        tasks = json.dumps(airflow.api.tasks("personalize_daily", run))
        assert "rendered_fields" in tasks
        assert [name for name, value in secrets.items() if value in tasks] == []


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # a file of a running process, gone meanwhile
        return b""

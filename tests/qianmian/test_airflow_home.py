"""Airflow's home: secrets that stay, ports that are free, an environment that is ours."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from qianmian.airflow_home import AirflowHome, openlineage_options
from qianmian.ports import LOOPBACK
from qianmian.step import StepError
from tests.receiver import Receiver


def test_secrets_are_the_owners_alone_differ_between_homes_and_stay(tmp_path: Path) -> None:
    one, other = AirflowHome(tmp_path / "one"), AirflowHome(tmp_path / "other")
    for name in ("secrets.json", "passwords.json"):
        assert (one.folder / name).stat().st_mode & 0o777 == 0o600
    assert one.password != other.password
    assert AirflowHome(tmp_path / "one").password == one.password
    environ = one.environment({})
    assert environ == AirflowHome(tmp_path / "one").environment({})


def test_the_callers_airflow_variables_do_not_reach_ours(tmp_path: Path) -> None:
    environ = AirflowHome(tmp_path).environment(
        {"AIRFLOW_HOME": "/theirs", "AIRFLOW__CORE__EXECUTOR": "Theirs", "AWS_PROFILE": "mine", "NO_PROXY": "a.b"}
    )
    assert environ["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert environ["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environ["AWS_PROFILE"] == "mine"
    assert environ["NO_PROXY"] == "a.b,127.0.0.1,localhost"


def test_a_taken_port_is_avoided_unless_it_was_asked_for(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path)
    with socket.socket() as somebody:
        somebody.bind((LOOPBACK, 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        (home.folder / "port").write_text(str(taken))
        home.take_port(0)
        assert home.port not in (0, taken)
        with pytest.raises(StepError, match=str(taken)):
            home.take_port(taken)


def test_the_port_of_the_last_start_is_taken_again(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        free = probe.getsockname()[1]
    (home.folder / "port").write_text(str(free))
    home.take_port(0)
    assert home.port == free


def event() -> Any:
    """One event of OpenLineage."""
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    return RunEvent(
        eventType=RunState.START,
        eventTime="2026-11-02T02:00:00+00:00",
        run=Run(runId="01a212a8-b4e0-788c-9ca3-0316fc2e63fd"),
        job=Job(namespace="qianmian", name="land"),
        producer="https://example.invalid/qianmian",
    )


def emit(lineage: str) -> None:
    """Emit one event as Airflow's provider would with the options that a setting gives."""
    from openlineage.client import OpenLineageClient

    OpenLineageClient(config={"transport": json.loads(openlineage_options(lineage)["transport"])}).emit(event())


def test_lineage_is_off_unless_it_is_set() -> None:
    assert openlineage_options("") == {"disabled": "True"}


def test_lineage_goes_to_a_file_or_an_address(tmp_path: Path) -> None:
    file = tmp_path / "lineage.jsonl"
    emit(str(file))
    emit(str(file))
    assert [json.loads(line)["job"]["name"] for line in file.read_text().splitlines()] == ["land", "land"]
    receiver = Receiver()
    emit(receiver.address)
    receiver.stop()
    assert receiver.got[0]["eventType"] == "START"


def test_a_receiver_that_is_down_takes_little_time() -> None:
    began = time.monotonic()
    with pytest.raises(Exception, match="refused"):  # which the provider logs
        emit("http://127.0.0.1:9")
    assert time.monotonic() - began < 20

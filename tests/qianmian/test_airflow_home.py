"""Airflow's home: secrets that stay, ports that are free, an environment that is ours."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from qianmian.airflow_home import AirflowHome
from qianmian.ports import LOOPBACK
from qianmian.step import StepError


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

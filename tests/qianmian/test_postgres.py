"""The PostgreSQL server of the wheel: first start, restart, kill, and who may connect."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from qianmian.postgres import Postgres


@pytest.fixture(scope="module")
def postgres(open_folder: Callable[[], Path]) -> Iterator[Postgres]:
    """One server's files for all tests: each starts it as it needs it."""
    server = Postgres(open_folder() / "postgres", "right")
    yield server
    server.stop()


def query(server: Postgres, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.url("postgresql"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_it_starts_keeps_its_data_over_a_stop_and_stops(postgres: Postgres) -> None:
    postgres.start()
    query(postgres, "create table kept as select 42 as answer")
    pid = postgres.pid()
    assert pid is not None
    postgres.stop()
    assert postgres.pid() is None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    postgres.start()
    assert query(postgres, "select answer from kept") == [(42,)]


def test_starting_twice_is_one_server(postgres: Postgres) -> None:
    postgres.start()
    pid = postgres.pid()
    postgres.start()
    assert postgres.pid() == pid


def test_it_comes_back_after_a_kill(postgres: Postgres) -> None:
    postgres.start()
    query(postgres, "create table survivor as select 42 as answer")
    query(postgres, "checkpoint")
    pid = postgres.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while postgres.pid():
        time.sleep(0.01)
    postgres.start()
    assert postgres.pid() not in (None, pid)
    assert query(postgres, "select answer from survivor") == [(42,)]


def test_a_pid_file_that_names_somebody_elses_process_is_not_believed(postgres: Postgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.data / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.data}\n")
    assert postgres.pid() is None
    postgres.start()
    assert postgres.pid() not in (None, os.getpid())


def test_it_listens_on_loopback_only_and_asks_for_the_password(postgres: Postgres) -> None:
    postgres.start()
    listening = {
        connection.laddr.ip
        for process in postgres.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.url("postgresql").replace("right", "wrong"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's files can be out of the server's reach")
def test_root_gets_a_server_also_where_nobody_cannot_go(open_folder: Callable[[], Path]) -> None:
    closed = open_folder() / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "postgres", "right")
    try:
        server.start()
        assert query(server, "select current_user") == [("airflow",)]
        assert server.data.is_relative_to("/var/tmp")
        pid = server.pid()
        assert pid is not None
        assert psutil.Process(pid).username() == "nobody"
    finally:
        server.stop()
        shutil.rmtree(server.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_an_ordinary_user_runs_it_as_himself(open_folder: Callable[[], Path]) -> None:
    nobody = pwd.getpwnam("nobody")
    home = open_folder() / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)

    def as_nobody(work: Callable[[], None]) -> int:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
                work()
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def start_and_stop() -> None:
        server = Postgres(home / "postgres", "right")
        server.start()
        assert query(server, "select current_user") == [("airflow",)]
        server.stop()
        assert server.pid() is None

    assert as_nobody(start_and_stop) == 0

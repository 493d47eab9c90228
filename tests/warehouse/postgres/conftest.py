"""A real PostgreSQL server for the tests of a file, and a database for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from qianmian.postgres import Postgres
from tests.postgres_server import postgres_server
from warehouse.targets import postgres

PASSWORD = "for-tests-only"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres_server(tmp_path_factory.mktemp("postgres"), PASSWORD) as running:
        yield running


@pytest.fixture
def address(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a database of the test's own, with a reader's role."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    at = f"host=127.0.0.1 port={server.port} user=airflow"
    name = f"t{time.monotonic_ns()}"
    admin = psycopg2.connect(f"{at} dbname=postgres")
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"create database {name}")
        cursor.execute("select 1 from pg_roles where rolname = 'bi_reader'")
        if not cursor.fetchone():
            cursor.execute(f"create role bi_reader login password '{PASSWORD}'")
            cursor.execute("alter role bi_reader set default_transaction_isolation = 'repeatable read'")
    admin.close()
    return f"{at} dbname={name}"


@pytest.fixture
def publish(address: str, warehouse: Path) -> Callable[[], dict[str, Any]]:
    return lambda: postgres.publish(address, "shop", warehouse, "bi_reader")

"""A small shop published for two days and refused on the third, in DuckDB and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from qianmian.postgres import Postgres
from tests.candidate_tables import check_result, write_check_results
from tests.postgres_server import postgres_server
from tests.preview.small_shop import DAYS, publish_day
from warehouse.record_refusal import record_refusal
from warehouse.targets import postgres as target

PASSWORD = "for-tests-only"
SCHEMA = "shop"
READER = "bi_reader"

Answer = tuple[list[str], list[tuple[Any, ...]]]
Ask = Callable[[str], Answer]


def publish_shop(home: Path, days: tuple[str, ...]) -> Path:
    """Publish some days of a shop called simulated, then refuse one; return its warehouse."""
    shop = home / "simulated"
    for number, day in enumerate(days):
        publish_day(shop, day, f"run-{day}", number)
    failed = check_result(
        check_name="Some item may be sold", table_name="items", status="failed", observed="0 items"
    )
    write_check_results(shop / "lake", "2026-11-01", "refused", [failed], stage="_clean")
    warehouse, moment = shop / "warehouse.duckdb", datetime(2026, 11, 2, 6)
    record_refusal(shop / "lake", "2026-11-01", "refused", warehouse, moment, "check_clean", "1 check failed")
    return warehouse


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of one shop, called simulated."""
    home = tmp_path_factory.mktemp("bi")
    publish_shop(home, DAYS[-2:])
    return home


@pytest.fixture(scope="session")
def warehouse(home: Path) -> Path:
    return home / "simulated" / "warehouse.duckdb"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL with a role that reads, whose password is the writer's: libpq is given one."""
    with postgres_server(tmp_path_factory.mktemp("postgres"), PASSWORD) as running:
        admin = psycopg2.connect(address(running), password=PASSWORD)
        with admin, admin.cursor() as cursor:
            cursor.execute(f"create role {READER} login password '{PASSWORD}'")
        admin.close()
        yield running


@pytest.fixture(scope="session")
def postgres(server: Postgres, warehouse: Path) -> str:
    """Address of the server after the tables were published to it."""
    publish_to(server, warehouse)
    return address(server)


def address(server: Postgres) -> str:
    return f"host=127.0.0.1 port={server.port} user=airflow dbname=postgres"


def publish_to(server: Postgres, warehouse: Path) -> None:
    """Publish as the step does it, its password in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        target.publish(address(server), SCHEMA, warehouse, READER)


@pytest.fixture(scope="session", params=["duckdb", "postgres"])
def ask(request: pytest.FixtureRequest, warehouse: Path) -> Ask:
    """Put a query to a database; the columns' names and the rows come back."""

    def ask_duckdb(sql: str) -> Answer:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            asked = connection.execute(sql)
            return [column[0] for column in asked.description], asked.fetchall()

    def ask_postgres(sql: str) -> Answer:
        reader = request.getfixturevalue("postgres").replace("user=airflow", f"user={READER}")
        connection = psycopg2.connect(reader, password=PASSWORD, options=f"-c search_path={SCHEMA}")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return [column.name for column in cursor.description or ()], cursor.fetchall()
        finally:
            connection.close()

    return ask_duckdb if request.param == "duckdb" else ask_postgres

"""Two roles in PostgreSQL: a writer that is no superuser, a reader that sees the views and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from bi.datasets import TABLES
from qianmian.postgres import Postgres
from tests.candidate_tables import (
    GENERATED_AT,
    candidate_tables,
    check_result,
    write_candidates,
    write_check_results,
)
from tests.postgres_server import postgres_server
from warehouse.publish import publish
from warehouse.record_refusal import record_refusal
from warehouse.targets import postgres

PASSWORD = "for-tests-only"
#: What docs/operating.md has an administrator run, once.
SETUP = f"""
create role qianmian_writer login password '{PASSWORD}' nosuperuser nocreatedb nocreaterole;
create role bi_reader login password '{PASSWORD}' nosuperuser nocreatedb nocreaterole;
create database bi;
grant create, connect, temporary on database bi to qianmian_writer;
revoke all on database bi from public;
grant connect on database bi to bi_reader;
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres_server(tmp_path_factory.mktemp("postgres"), PASSWORD) as running:
        admin = psycopg2.connect(
            f"host=127.0.0.1 port={running.port} user=airflow dbname=postgres password={PASSWORD}"
        )
        admin.autocommit = True
        with admin.cursor() as cursor:
            for statement in SETUP.strip().splitlines():
                cursor.execute(statement)
        admin.close()
        yield running


@pytest.fixture(scope="module")
def reader(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Publish a run and a refusal as the writer; connect as the reader."""
    folder = tmp_path_factory.mktemp("shop")
    lake, warehouse, day = folder / "lake", folder / "warehouse.duckdb", "2026-11-01"
    at = f"host=127.0.0.1 port={server.port} dbname=bi"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        write_candidates(lake, candidate_tables(day, "r1"))
        write_check_results(lake, day, "r1", [check_result()])
        publish(lake, day, "r1", warehouse, GENERATED_AT, "c" * 64)
        later = GENERATED_AT + timedelta(days=1)
        record_refusal(lake, "2026-11-02", "r2", warehouse, later, "check_clean", "a check did not hold")
        postgres.publish(f"{at} user=qianmian_writer", "shop", warehouse, "bi_reader")
        connection = psycopg2.connect(f"{at} user=bi_reader")
    connection.autocommit = True
    yield connection
    connection.close()


def ask(connection: Any, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def relations(reader: Any) -> list[tuple[str, str, str]]:
    """Return schema, name and kind of every relation of ours; the catalogue tells names to everyone."""
    return [
        (str(schema), str(name), str(kind))
        for schema, name, kind in ask(
            reader,
            "select nspname, relname, relkind from pg_class join pg_namespace n on n.oid = relnamespace"
            " where relkind in ('r', 'v', 'm', 'p', 'S') and nspname like 'shop%' order by 1, 2",
        )
    ]


def test_the_reader_reads_every_view_and_none_of_what_lies_behind(reader: Any) -> None:
    found = relations(reader)
    views = {name for schema, name, _ in found if schema == "shop"}
    assert views >= set(TABLES)
    for name in sorted(views):
        ask(reader, f"select * from shop.{name} limit 1")
    assert ask(reader, "select run_id, is_refused_since from shop.data_freshness") == [("r1", True)]
    behind = [(schema, name) for schema, name, _ in found if schema != "shop"]
    assert {schema.rsplit("_", 1)[1] for schema, _ in behind} == {"sets", "1", "2", "3"}
    for schema, name in behind:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(reader, f"select * from {schema}.{name}")


def test_the_reader_changes_nothing(reader: Any) -> None:
    for statement in (
        "delete from shop.user_portraits",
        "update shop.user_portraits set segment = 'x'",
        "insert into shop.hot_items default values",
        "truncate shop.pipeline_runs",
        "drop view shop.hot_items",
        "create view shop.mine as select 1",
        "create schema mine",
        "create temporary table mine (a int)",
        "update shop_sets.current_set set slot = 1",
        "set role qianmian_writer",
    ):
        with pytest.raises(psycopg2.Error), reader.cursor() as cursor:
            cursor.execute(statement)


def test_nothing_of_landing_quarantine_or_keys_is_on_the_server(reader: Any) -> None:
    """What is published is all that the writer ever brings there, whoever may read it."""
    state = {"slots", "current_set", "history_days", "history_to_come"}
    assert {name for _, name, kind in relations(reader) if kind in "rv"} - set(TABLES) - state == set()
    assert ask(reader, "select count(*) from pg_namespace where nspname ~ 'landing|quarantine|clean'") == [(0,)]


def test_the_writer_is_no_superuser_and_owns_what_it_made(reader: Any) -> None:
    owners = ask(
        reader,
        "select distinct pg_get_userbyid(relowner), rolsuper from pg_class join pg_roles r on r.oid = relowner"
        " join pg_namespace n on n.oid = relnamespace where nspname like 'shop%'",
    )
    assert owners == [("qianmian_writer", False)]

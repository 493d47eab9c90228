"""Where Superset reads a shop's tables: the PostgreSQL that they are published to, else the DuckDB file."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import parse_dsn
from sqlalchemy.engine import URL

from bi.datasets import SCHEMA
from qianmian.settings import Settings
from qianmian.step import StepError


@dataclass(frozen=True)
class Source:
    """A database with the published tables: SQLAlchemy's address, the schema, and its name for people."""

    uri: str
    schema: str
    name: str


def source(shop: Settings) -> Source:
    """Return what Superset is to read, after reading from it.

    A password is never part of the address: libpq finds it as for psql (PGPASSWORD, a password file).

    Raises:
        StepError: nothing was published there, or it does not let us in.

    """
    return _postgres(shop) if shop.postgres_target else _duckdb(shop)


def _duckdb(shop: Settings) -> Source:
    if not shop.warehouse.exists():
        raise StepError(
            f"{shop.warehouse} is not there: nothing was published yet.",
            f"Run the daily job: make run SHOP={shop.shop}.",
        )
    return Source(f"duckdb:///{shop.warehouse}", SCHEMA, str(shop.warehouse))


def _postgres(shop: Settings) -> Source:
    try:
        address = parse_dsn(shop.postgres_target)
    except psycopg2.ProgrammingError as error:
        raise StepError(
            f"postgres_target cannot be read as an address: {error}",
            "Write it as libpq does: postgresql://writer@host/bi or host=... dbname=...",
        ) from None
    if "password" in address:
        raise StepError(
            "postgres_target holds a password, which would stand in Superset's database and logs.",
            "Take it out; give it as PGPASSWORD or in a password file (PGPASSFILE), as for psql.",
        )
    if shop.postgres_reader_role:
        address["user"] = shop.postgres_reader_role
    _look(address, shop.postgres_schema)
    port = address.pop("port", None)
    url = URL.create(
        "postgresql+psycopg2",
        username=address.pop("user", None),
        host=address.pop("host", None),
        port=int(port) if port else None,
        database=address.pop("dbname", None),
        query=address,
    )
    return Source(
        url.render_as_string(),
        shop.postgres_schema,
        f"{url.host or 'this machine'}, schema {shop.postgres_schema}",
    )


def _look(address: dict[str, str], schema: str) -> None:
    try:
        server = psycopg2.connect(**address, connect_timeout=20, application_name="qianmian bi")
        try:
            with server.cursor() as cursor:
                cursor.execute(sql.SQL("select 1 from {} limit 1").format(sql.Identifier(schema, "pipeline_runs")))
        finally:
            server.close()
    except psycopg2.Error as error:
        who = address.get("user", "the default user")
        raise StepError(
            f"PostgreSQL's schema {schema} cannot be read as {who}: {str(error).strip().splitlines()[0]}",
            "Let the daily job publish to it; give the role in postgres_reader_role a login, its password in "
            "PGPASSWORD or a password file. Or read the DuckDB file: QIANMIAN_POSTGRES_TARGET= make bi.",
        ) from None

"""Bring a PostgreSQL server up to the warehouse in place: the tables of the latest run, all runs, all history.

The set is loaded beside the current one, checked there, and becomes current in one transaction
(`postgres_layout.py` says how). Killed at any moment, or the server stopped, it leaves the current set as it was;
the next run loads what is missing. The set before stays, so that going back to it moves no rows.

Credentials come as libpq finds them: PGPASSWORD or a password file; a password in the address is refused, because
it would stand in process lists and logs.
"""

from __future__ import annotations

import argparse
import errno
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as bulk
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import make_dsn, parse_dsn

from expectations.tables import PUBLISHED
from qianmian.step import ShopBusyError, StepError, run_step, step_parser
from warehouse.targets.postgres_layout import Layout
from warehouse.targets.postgres_sets import drop_other_contracts, load_set, make_current, one, prepare
from warehouse.targets.postgres_views import bring_history, exchange_views, replace_runs, warn_of_mixed_sets
from warehouse.targets.source import open_source, shop_of

log = logging.getLogger("qianmian")

LOCK_PATIENCE_S = 600.0
DISK_FULL = "53100"  # PostgreSQL's own code
SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,30}")
#: libpq's: a server gone without a word (a cut cable, a firewall) is given up after a minute, not two hours.
PATIENCE = {
    "connect_timeout": 20,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def publish(address: str, schema: str, warehouse: Path, reader_role: str = "", shop: str = "") -> dict[str, Any]:
    """Bring the tables in `schema` up to the warehouse.

    Args:
        address: libpq's, URL or key=value, without a password.
        schema: lower-case letters, digits and _.
        warehouse: the DuckDB file in place.
        reader_role: is granted reading the views, where it is named.
        shop: whose tables these are; not asked where it is empty.

    Returns:
        Rows by table that were loaded (none where the set was there already), and the run that is current.

    Raises:
        StepError: the address holds a password, the schema's name or the warehouse cannot be used, the schema is
            another shop's, or another publisher does not end.
        psycopg2.OperationalError: the server is not there: trying again may help.
        OSError: the server's disk is full.

    """
    check_address(address, schema)
    address = with_patience(address)
    layout = Layout(schema, PUBLISHED)
    # The warehouse is opened once the schema is ours: forgetting may have changed both meanwhile.
    with _full_disks_named(), connected(address, schema) as server, open_source(warehouse) as source:
        prepare(server, layout, shop)
        slot, loaded = load_set(server, address, layout, source)
        with server, server.cursor() as cursor:
            days = bring_history(cursor, address, layout, source)
            replace_runs(cursor, layout, source)
            make_current(cursor, layout, slot)
            exchange_views(cursor, layout, reader_role)
            warn_of_mixed_sets(cursor, reader_role)
        drop_other_contracts(server, layout)
        latest = source.latest
        run_id = latest.run_id if latest else None
        log.info("%s: set %s of run %s is current", schema, slot, run_id)
        return {"loaded": loaded, "history_days": days, "set": slot, "latest_run": run_id}


def check_address(address: str, schema: str) -> None:
    """Refuse what would leak a password or break a name.

    Raises:
        StepError: says which.

    """
    if re.search(r"password\s*=|://[^/@]*:[^/@]*@", address):
        raise StepError(
            "The address of PostgreSQL holds a password: it would stand in logs and process lists.",
            "Take it out; give it as PGPASSWORD or in a password file (PGPASSFILE), as for psql.",
        )
    try:
        parse_dsn(address)
    except psycopg2.ProgrammingError:  # its words would repeat what may be a password in the wrong place
        raise StepError(
            "The address of PostgreSQL cannot be read.",
            "Write postgresql://user@host:port/database, or host=... user=... dbname=...",
        ) from None
    if not SCHEMA.fullmatch(schema):
        raise StepError(f"{schema!r} cannot name a schema.", "Use lower-case letters, digits and _ (at most 31).")


def with_patience(address: str) -> str:
    """Return the address with what libpq is to wait for, where it does not say so itself."""
    return make_dsn(**{**PATIENCE, **parse_dsn(address)})


@contextmanager
def _full_disks_named() -> Iterator[None]:
    """Say of a full disk that it is the server's."""
    try:
        yield
    except (psycopg2.Error, bulk.Error) as error:
        if DISK_FULL not in (getattr(error, "pgcode", None), getattr(error, "sqlstate", None)):
            raise
        raise OSError(errno.ENOSPC, f"The disk of the PostgreSQL server is full: {error}".strip()) from error


@contextmanager
def connected(address: str, schema: str) -> Iterator[Connection]:
    """Connect and hold the lock on the schema: the server frees it when this process dies."""
    server = psycopg2.connect(with_patience(address), application_name="qianmian publish")
    try:
        # Whatever is usual there: what other connections of ours commit meanwhile has to be seen.
        server.set_session(isolation_level="READ COMMITTED", autocommit=True)
        waiting_since = time.monotonic()
        with server.cursor() as cursor:
            cursor.execute("set client_min_messages = warning")
            while True:
                cursor.execute("select pg_try_advisory_lock(hashtext(%s))", (f"qianmian {schema}",))
                if one(cursor):
                    break
                if time.monotonic() - waiting_since > LOCK_PATIENCE_S:
                    raise ShopBusyError(
                        f"Another program, publishing or forgetting, has held the schema {schema} "
                        f"for {LOCK_PATIENCE_S:.0f} seconds.",
                        "Let it end, or stop it, then run this step again.",
                    )
                time.sleep(0.2)
        server.autocommit = False
        yield server
    finally:
        server.close()


def _main(args: argparse.Namespace) -> dict[str, Any]:
    return publish(args.address, args.schema, args.warehouse, args.reader_role, shop_of(args.lake))


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file in place")
    parser.add_argument(
        "--address", required=True, help="libpq's, without a password: postgresql://writer@host/bi"
    )
    parser.add_argument("--schema", default="qianmian", help="what BI reads (default: %(default)s)")
    parser.add_argument(
        "--reader-role", default="", help="role that may read the views (default: none is granted)"
    )
    run_step("publish_postgres", _main, parser, argv)


if __name__ == "__main__":
    main()

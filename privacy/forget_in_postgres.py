"""Forget users in the PostgreSQL target: in all three sets and in the history, in one transaction.

Whom: those whose receipt is open. A reader sees its set with them or without them, whole. DELETE leaves the bytes
of rows in a table's files until VACUUM; `VACUUM FULL` writes the files anew, but waits for readers and keeps them
waiting. It is tried for `LOCK_S` seconds a table; where readers are in the way, plain VACUUM frees the space for
new rows, and the report says which tables that was. The server's own journal and backups are its operator's.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from privacy.lake_files import PARENT
from privacy.receipts import Receipts
from privacy.rule import mentions, without_mentions
from qianmian.step import run_step, step_parser
from warehouse.targets.postgres import check_address, connected

log = logging.getLogger("qianmian")

LOCK_S = 5
_LONG_HEX = "[0-9a-f]{32}"
Tables = dict[tuple[str, str], list[str]]


def forget_in_postgres(args: argparse.Namespace) -> dict[str, Any]:
    """Delete the users' rows and return the step's report.

    Raises:
        StepError: the address holds a password, or a publisher does not end.
        psycopg2.OperationalError: the server is not there: trying again may help.

    """
    check_address(args.address, args.schema)
    receipts = Receipts(args.lake)
    users = frozenset(receipts.open)
    if not users:
        return {"rows": 0, "written_anew": [], "space_freed_only": []}
    with connected(args.address, args.schema) as server:
        tables = published_tables(server, args.schema)
        with server, server.cursor() as cursor:
            removed = _delete(cursor, tables, users)
        receipts.add("postgres", removed)
        anew, freed = _vacuum(server, tables)
    if freed:
        log.warning("readers kept these tables from being written anew: %s", ", ".join(freed))
    return {"rows": sum(removed.values()), "written_anew": anew, "space_freed_only": freed}


def published_tables(server: Connection, schema: str) -> Tables:
    """Return the text columns of every table of the target, the sets of earlier releases too."""
    with server, server.cursor() as cursor:
        cursor.execute(
            "select c.table_schema, c.table_name, c.column_name from information_schema.columns as c "
            "join information_schema.tables as t using (table_schema, table_name) "
            "where t.table_type = 'BASE TABLE' and c.data_type = 'text' and c.table_schema ~ %s "
            "order by table_name = %s, table_schema, table_name",
            (f"^{schema}_(sets|[0-9a-f]{{8}}_[0-9]+)$", PARENT),
        )
        tables: Tables = {}
        for where, table, column in cursor.fetchall():
            tables.setdefault((where, table), []).append(column)
        return tables


def _delete(cursor: Any, tables: Tables, users: frozenset[str]) -> Counter[str]:
    """Delete rows, those that name only the recommendation before those that say whose it is."""
    removed: Counter[str] = Counter()
    ids = sorted(users)
    for (schema, table), columns in tables.items():
        place = sql.Identifier(schema, table)
        if "user_id" in columns:
            cursor.execute(
                sql.SQL("with gone as (delete from {} where user_id = any(%s) returning user_id) "
                        "select user_id, count(*) from gone group by user_id").format(place), (ids,),
            )  # fmt: skip
            removed.update(dict(cursor.fetchall()))
        elif "recommendation_id" in columns and (schema, PARENT) in tables:
            cursor.execute(
                sql.SQL("with gone as (delete from {} as t using {} as p where p.user_id = any(%s) "
                        "and t.recommendation_id = p.recommendation_id returning p.user_id) "
                        "select user_id, count(*) from gone group by user_id").format(
                            place, sql.Identifier(schema, PARENT)), (ids,),
            )  # fmt: skip
            removed.update(dict(cursor.fetchall()))
        for column in columns:
            name = sql.Identifier(column)
            cursor.execute(
                sql.SQL("select distinct {} from {} where {} ~ %s").format(name, place, name), (_LONG_HEX,)
            )
            for (value,) in cursor.fetchall():
                if found := set(mentions(value, users)):
                    statement = sql.SQL("update {} set {} = %s where {} = %s").format(place, name, name)
                    cursor.execute(statement, (without_mentions(value, users), value))
                    removed.update(found)
    return removed


def _vacuum(server: Connection, tables: Tables) -> tuple[list[str], list[str]]:
    """Write the tables' files anew; where that would have to wait, free the space."""
    anew, freed = [], []
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute("set lock_timeout = %s", (f"{LOCK_S}s",))
        for schema, table in tables:
            place = sql.Identifier(schema, table)
            try:
                cursor.execute(sql.SQL("vacuum (full, analyze) {}").format(place))
                anew.append(f"{schema}.{table}")
            except psycopg2.errors.LockNotAvailable:
                cursor.execute(sql.SQL("vacuum (analyze) {}").format(place))
                freed.append(f"{schema}.{table}")
    server.autocommit = False
    return anew, freed


def mentioned_in_postgres(address: str, schema: str, users: frozenset[str]) -> list[str]:
    """Return the tables that still hold one of these pseudonyms in any text column."""
    found = []
    with connected(address, schema) as server:
        tables = published_tables(server, schema)
        with server, server.cursor() as cursor:
            for (where, table), columns in tables.items():
                for column in columns:
                    name = sql.Identifier(column)
                    cursor.execute(
                        sql.SQL("select distinct {} from {} where {} ~ %s").format(
                            name, sql.Identifier(where, table), name
                        ),
                        (_LONG_HEX,),
                    )
                    if any(any(mentions(value, users)) for (value,) in cursor.fetchall()):
                        found.append(f"{where}.{table}.{column}")
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--address", required=True, help="libpq's, without a password")
    parser.add_argument("--schema", default="qianmian", help="what BI reads (default: %(default)s)")
    run_step("forget_in_postgres", forget_in_postgres, parser, argv)


if __name__ == "__main__":
    main()

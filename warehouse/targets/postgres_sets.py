"""The three sets of tables in PostgreSQL: filling the one that is free, and making it the current one."""

from __future__ import annotations

import logging
from typing import Any

import adbc_driver_postgresql.dbapi as bulk
import duckdb
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from expectations.tables import HISTORIES
from warehouse.targets.postgres_layout import (
    Layout,
    add_columns,
    allow_nulls,
    create_sets,
    create_state,
    names,
)
from warehouse.targets.source import BATCH_ROWS, RUN_TABLES, Source, refuse_another_shops

log = logging.getLogger("qianmian")

OF_SHOP = "Qianmian's sets of the shop "
#: A set that was current until that long ago is emptied at once; later ones row by row, for those who still read.
OLD_READER_S = 3600


def prepare(server: Connection, layout: Layout, shop: str = "") -> None:
    """Make what is not there yet; an existing installation is left without a lock.

    Raises:
        StepError: it is another shop's.

    """
    with server, server.cursor() as cursor:
        _claim(cursor, layout, shop)
        for statement in create_state(layout):
            cursor.execute(statement)
        for table in (*RUN_TABLES.values(), *HISTORIES.values()):
            cursor.execute(
                "select column_name, is_nullable = 'NO' from information_schema.columns "
                "where table_schema = %s and table_name = %s",
                (layout.sets, table.name),
            )
            there = dict(cursor.fetchall())
            strict = [name for name, is_strict in there.items() if is_strict]
            for statement in (*add_columns(layout, table, there), *allow_nulls(layout, table, strict)):
                cursor.execute(statement)
        cursor.execute(
            sql.SQL("select count(*) from {} where contract = %s").format(sql.Identifier(layout.sets, "slots")),
            (layout.contract,),
        )
        if not one(cursor):
            for statement in create_sets(layout):
                cursor.execute(statement)


def _claim(cursor: Any, layout: Layout, shop: str) -> None:
    """See that the target is this shop's, and note it where it was nobody's: as the comment of a schema."""
    cursor.execute("select obj_description(to_regnamespace(%s), 'pg_namespace')", (layout.sets,))
    theirs = (one(cursor) or "").removeprefix(OF_SHOP)
    renamed = f"comment on schema {layout.sets} is null"
    if shop:
        refuse_another_shops(f"The schema {layout.schema}", theirs, shop, "postgres_schema", renamed)
    if shop and not theirs:
        sets = sql.Identifier(layout.sets)
        cursor.execute(sql.SQL("create schema if not exists {}").format(sets))
        cursor.execute(sql.SQL("comment on schema {} is {}").format(sets, sql.Literal(OF_SHOP + shop)))


def load_set(server: Connection, address: str, layout: Layout, source: Source) -> tuple[int, dict[str, int]]:
    """Return the set that holds the latest run, and the rows that had to be loaded for it."""
    slots = sql.Identifier(layout.sets, "slots")
    wanted = source.latest
    run = (wanted.run_id, wanted.published_at) if wanted else (None, None)
    with server, server.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "select slots.slot, run_id, published_at, current_set.slot is not null as is_current, "
                "current_until < now() - make_interval(secs => %s) as is_old from {} as slots "
                "left join {} as current_set "
                "on current_set.contract = slots.contract and current_set.slot = slots.slot "
                "where slots.contract = %s order by is_current desc, current_until desc nulls last, slots.slot"
            ).format(slots, sql.Identifier(layout.sets, "current_set")),
            (OLD_READER_S, layout.contract),
        )
        found = cursor.fetchall()
        for slot, run_id, published_at, is_current, _ in found:
            # Before the first publishing no set is anyone's, and any will do.
            if (run_id, published_at) == run and (wanted is not None or is_current):
                return slot, {}
        # The last in this order is neither current nor the one before.
        slot, *_, is_old = found[-1]
        cursor.execute(
            sql.SQL("update {} set run_id = null, published_at = null where (contract, slot) = (%s, %s)").format(
                slots
            ),
            (layout.contract, slot),
        )
    _empty(server, layout, slot, at_once=is_old is not False)
    rows: dict[str, int] = {}
    with bulk.connect(address) as loader, loader.cursor() as cursor:
        for name, table in layout.tables.items():
            rows[name] = ingest(
                cursor,
                source.connection.table(name).project(", ".join(table.column_names)),
                name,
                layout.slot(slot),
            )
            log.info("%s: %s rows", name, f"{rows[name]:,}")
        loader.commit()
    _check(server, layout, slot, rows, source)
    with server, server.cursor() as cursor:
        cursor.execute(
            sql.SQL("update {} set run_id = %s, published_at = %s where (contract, slot) = (%s, %s)").format(
                slots
            ),
            (*run, layout.contract, slot),
        )
    return slot, rows


def ingest(cursor: Any, rows: duckdb.DuckDBPyRelation, table: str, schema: str) -> int:
    """Copy rows into a table by PostgreSQL's binary COPY, a batch at a time, and return their number."""
    return int(cursor.adbc_ingest(table, rows.to_arrow_reader(BATCH_ROWS), mode="append", db_schema_name=schema))


def _empty(server: Connection, layout: Layout, slot: int, *, at_once: bool) -> None:
    """Empty a set: at once where nobody can still read it and nobody is in the way, else row by row."""
    tables = [sql.Identifier(layout.slot(slot), name) for name in layout.tables]
    if at_once:
        try:
            with server, server.cursor() as cursor:
                # Every reader holds a light lock on all sets; waiting for it longer would make others wait for us.
                cursor.execute("set local lock_timeout = '200ms'")
                cursor.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))
        except psycopg2.errors.LockNotAvailable:
            log.info("readers are at work: the old set is emptied row by row")
        else:
            return
    with server, server.cursor() as cursor:
        for table in tables:
            cursor.execute(sql.SQL("delete from {}").format(table))
    server.autocommit = True
    with server.cursor() as cursor:
        for table in tables:
            # Not giving the file's tail back needs no lock that readers would feel.
            cursor.execute(sql.SQL("vacuum (truncate false) {}").format(table))
    server.autocommit = False


def _check(server: Connection, layout: Layout, slot: int, rows: dict[str, int], source: Source) -> None:
    """Read the set back before anyone can: all rows, all of one run, nothing null that is never null there."""
    run_id = source.latest.run_id if source.latest else None
    with server, server.cursor() as cursor:
        for name, contract in layout.tables.items():
            table = sql.Identifier(layout.slot(slot), name)
            never_null = source.never_null(name)
            filled = [column for column in contract.column_names if column in never_null]
            with_nulls = sql.SQL("not (row({}) is not null)").format(names(filled))
            cursor.execute(
                sql.SQL(
                    "select count(*), count(*) filter (where run_id is distinct from %s), "
                    "count(*) filter (where {}) from {}"
                ).format(with_nulls, table),
                (run_id,),
            )
            count, others, lacking = cursor.fetchall()[0]
            if count != rows[name] or others or lacking:
                raise RuntimeError(
                    f"{name} reads back as {count} rows, {others} of another run, {lacking} that lack a value; "
                    f"{rows[name]} were sent"
                )
            cursor.execute(sql.SQL("analyze {}").format(table))


def make_current(cursor: Any, layout: Layout, slot: int) -> None:
    """Point the views at a set; the one that was current is marked with the time, for whoever empties it."""
    current, slots = sql.Identifier(layout.sets, "current_set"), sql.Identifier(layout.sets, "slots")
    cursor.execute(
        sql.SQL(
            "update {} as slots set current_until = now() from {} as current_set "
            "where (slots.contract, slots.slot) = (current_set.contract, current_set.slot) "
            "and (slots.contract, slots.slot) <> (%s, %s)"
        ).format(slots, current),
        (layout.contract, slot),
    )
    cursor.execute(
        sql.SQL(
            "insert into {} (contract, slot) values (%s, %s) "
            "on conflict (is_only) do update set contract = excluded.contract, slot = excluded.slot"
        ).format(current),
        (layout.contract, slot),
    )


def drop_other_contracts(server: Connection, layout: Layout) -> None:
    """Drop the sets of earlier releases; where readers are in the way, the next publishing does it."""
    slots = sql.Identifier(layout.sets, "slots")
    try:
        with server, server.cursor() as cursor:
            cursor.execute(
                sql.SQL("select contract, slot from {} where contract <> %s").format(slots), (layout.contract,)
            )
            old = cursor.fetchall()
            if not old:
                return
            cursor.execute("set local lock_timeout = '200ms'")
            for contract, slot in old:
                schema = sql.Identifier(f"{layout.schema}_{contract}_{slot}")
                cursor.execute(sql.SQL("drop schema if exists {} cascade").format(schema))
            cursor.execute(sql.SQL("delete from {} where contract <> %s").format(slots), (layout.contract,))
    except psycopg2.errors.LockNotAvailable:
        log.info("readers are at work: the sets of an earlier release are dropped next time")


def one(cursor: Any) -> Any:
    """Return the only value of a query's only row, None where there is no row."""
    row = cursor.fetchone()
    return row[0] if row else None

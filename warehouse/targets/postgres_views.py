"""What BI reads in PostgreSQL beside the sets: the views over them, the runs, history."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from datetime import date
from typing import Any

import adbc_driver_postgresql.dbapi as bulk
import duckdb
import psycopg2
from psycopg2 import sql
from psycopg2.extras import execute_values

from expectations.tables import HISTORIES, Table
from qianmian.step import StepError
from warehouse.targets.postgres_layout import Layout, create_view, describe, names
from warehouse.targets.postgres_sets import ingest, one
from warehouse.targets.source import RUN_TABLES, Source

log = logging.getLogger("qianmian")

#: What a role's transactions are where it says nothing; no row where nobody has set anything.
_ISOLATION = """
select lower(split_part(one, '=', 2)) as isolation, setrole <> 0 as of_role, setdatabase <> 0 as of_database
from pg_db_role_setting cross join unnest(setconfig) as one
where setdatabase in (0, (select oid from pg_database where datname = current_database()))
    and setrole in (0, (select oid from pg_roles where rolname = %s))
    and one like 'default_transaction_isolation=%%'
union all
select setting, false, false from pg_settings
where name = 'default_transaction_isolation' and source in ('configuration file', 'command line')
order by of_role desc, of_database desc
limit 1
"""


def bring_history(cursor: Any, address: str, layout: Layout, source: Source) -> int:
    """Bring the tables of history up to the runs that stand, and return the number of days that changed.

    `history_days` says of which run each day is and in which tables it stands: in all that the source had then.
    """
    days = sql.Identifier(layout.sets, "history_days")
    cursor.execute(sql.SQL("select as_of_date, run_id, published_at, histories from {}").format(days))
    there = {day: ((run_id, published_at), told) for day, run_id, published_at, told in cursor.fetchall()}
    # Releases that did not say in which tables had one.
    stands_in = {day: {*(told or "user_portraits_history").split(",")} for day, (_, told) in there.items()}
    wanted, histories = source.days, source.histories
    changed = {day for day in {*there, *wanted} if day not in there or there[day][0] != wanted.get(day)}
    for day in changed:
        stands_in[day] = set()
    touched = set(changed)
    for history in HISTORIES.values():
        lacking = {day for day in wanted if history in histories and history.name not in stands_in[day]}
        _replace_days(cursor, address, layout, history, source, changed | lacking, lacking)
        for day in lacking:
            stands_in[day].add(history.name)
        touched |= lacking
    cursor.execute(sql.SQL("delete from {} where as_of_date = any(%s)").format(days), ([*touched],))
    rows = [(day, *wanted[day], ",".join(sorted(stands_in[day]))) for day in sorted(touched & wanted.keys())]
    if rows:
        statement = sql.SQL("insert into {} (as_of_date, run_id, published_at, histories) values %s").format(days)
        execute_values(cursor, statement.as_string(cursor), rows)
    return len(touched)


def _replace_days(
    cursor: Any, address: str, layout: Layout, history: Table, source: Source, gone: set[date], new: set[date]
) -> None:
    """Take days out of one table of history, and bring some of them from the source."""
    table, columns = sql.Identifier(layout.sets, history.name), names(history.column_names)
    if gone:
        cursor.execute(sql.SQL("delete from {} where as_of_date = any(%s)").format(table), ([*gone],))
    if new:
        _stage(address, layout, history, source, sorted(new))
        place = sql.Identifier(layout.sets, _staging(history))
        cursor.execute(sql.SQL("insert into {} ({}) select {} from {}").format(table, columns, columns, place))
        cursor.execute(sql.SQL("drop table {}").format(place))


def _staging(history: Table) -> str:
    return f"{history.name}_staging"


def _stage(address: str, layout: Layout, history: Table, source: Source, days: list[date]) -> None:
    """Leave some days' rows in a table of their own, from which the transaction that publishes takes them."""
    rows = source.connection.table(history.name).filter(
        duckdb.ColumnExpression("as_of_date").isin(*[duckdb.ConstantExpression(day) for day in days])
    )
    staging = _staging(history)
    with bulk.connect(address) as loader, loader.cursor() as cursor:
        cursor.execute(f'drop table if exists "{layout.sets}"."{staging}"')
        cursor.execute(
            f'create unlogged table "{layout.sets}"."{staging}" (like "{layout.sets}"."{history.name}")'
        )
        ingest(cursor, rows.project(", ".join(history.column_names)), staging, layout.sets)
        loader.commit()


def replace_runs(cursor: Any, layout: Layout, source: Source) -> None:
    """Write the runs and the refused checks anew: they are few."""
    for name, table in RUN_TABLES.items():
        place = sql.Identifier(layout.sets, name)
        rows = source.run_table(name).fetchall()
        cursor.execute(sql.SQL("delete from {}").format(place))
        if rows:
            statement = sql.SQL("insert into {} ({}) values %s").format(place, names(table.column_names))
            execute_values(cursor, statement.as_string(cursor), rows)


def exchange_views(cursor: Any, layout: Layout, reader_role: str) -> None:
    """Make the views anew where this release has others, and say of them what it says.

    A view whose columns stay, or only get more, is replaced: what others have built on it stays too.

    Raises:
        StepError: somebody's own view stands on one whose columns change otherwise.

    """
    cursor.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", (layout.schema,)
    )
    there = one(cursor) or ""
    views = _digest(cursor, [create_view(layout, table) for table in layout.everything])
    texts = _digest(cursor, [said for table in layout.everything for said in describe(layout, table)])
    these_views = f"Published by Qianmian. Contract {layout.contract}, views {views}, "
    said = f"{these_views}texts {texts}."
    if there != said:
        if not there.startswith(these_views):
            _replace_views(cursor, layout)
        for table in layout.everything:
            for statement in describe(layout, table):
                cursor.execute(statement)
        cursor.execute(
            sql.SQL("comment on schema {} is {}").format(sql.Identifier(layout.schema), sql.Literal(said))
        )
    if reader_role:
        role, schema = sql.Identifier(reader_role), sql.Identifier(layout.schema)
        cursor.execute(sql.SQL("grant usage on schema {} to {}").format(schema, role))
        cursor.execute(sql.SQL("grant select on all tables in schema {} to {}").format(schema, role))


def warn_of_mixed_sets(cursor: Any, reader_role: str) -> None:
    """Say so in the log where a transaction of the role would see each query's latest set, not one for all.

    The role's own setting goes before the database's, and that before the server's; the server's is not seen where
    the writer's own stands before it.
    """
    if not reader_role:
        return
    cursor.execute(_ISOLATION, [reader_role])
    found = cursor.fetchone()
    if not found or found[0] not in ("repeatable read", "serializable"):
        remedy = sql.SQL("alter role {} set default_transaction_isolation = 'repeatable read'")
        log.warning(
            "%s: a transaction of several queries may see two sets where a publishing comes between. "
            "WHAT TO DO: %s",
            reader_role,
            remedy.format(sql.Identifier(reader_role)).as_string(cursor),
        )


def _digest(cursor: Any, statements: Iterable[sql.Composable]) -> str:
    text = "\n".join(statement.as_string(cursor) for statement in statements)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _replace_views(cursor: Any, layout: Layout) -> None:
    """Make all views, with the grants that they had."""
    cursor.execute(
        "select relname, grantee::regrole::text from pg_class cross join aclexplode(relacl) "
        "where relkind = 'v' and relnamespace = %s::regnamespace and privilege_type = 'SELECT' "
        "and grantee <> relowner and grantee <> 0",
        (layout.schema,),
    )
    grants = cursor.fetchall()
    for table in layout.everything:
        cursor.execute("savepoint before_view")
        try:
            cursor.execute(create_view(layout, table))
        except psycopg2.errors.InvalidTableDefinition:  # other columns than a replacement may have
            cursor.execute("rollback to savepoint before_view")
            _drop_view(cursor, layout, table)
            cursor.execute(create_view(layout, table))
    ours = {table.name for table in layout.everything}
    for name, role in grants:
        if name in ours:
            cursor.execute(
                sql.SQL("grant select on {} to {}").format(sql.Identifier(layout.schema, name), sql.SQL(role))
            )


def _drop_view(cursor: Any, layout: Layout, table: Table) -> None:
    try:
        cursor.execute(sql.SQL("drop view {}").format(sql.Identifier(layout.schema, table.name)))
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise StepError(
            f"Views of others stand on {layout.schema}.{table.name}, whose columns change: "
            f"{error.diag.message_detail}",
            "Drop them, run this step again, and make them anew.",
        ) from None

"""How the tables lie in PostgreSQL, and why a reader never sees half a day.

    <schema>                       what BI reads: a view per table
    <schema>_sets                  which set is current; runs; the tables of history
    <schema>_<contract>_{1,2,3}    three whole sets of tables: the current one, the one before it, the one to fill

A view shows the rows of the set that `current_set` names, so that publishing is an update of one row. That, and
not a rename of schemas or a replaced view, is what keeps a transaction whole: names are looked up in the newest
catalogue even by a transaction that reads an old snapshot, but rows are not (decision 12). A reader at isolation
level REPEATABLE READ sees one set from its first query to its commit; at READ COMMITTED, each query sees one.

When the contract changes (a release with other columns), three new sets are made beside the old, and the views are
exchanged in the transaction that makes the first of them current.

Only keys are NOT NULL here. What else is never null is checked as a set is loaded: a run of an earlier release,
which `make rollback` or the history brings, lacks the columns that came later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg2 import sql

from expectations.tables import (
    DATA_FRESHNESS,
    DATA_FRESHNESS_SQL,
    HISTORIES,
    PIPELINE_RUNS,
    Table,
)
from warehouse.targets.source import RUN_TABLES

SLOTS = (1, 2, 3)
#: Beside the key: what analysts join and filter by.
INDEXES: Mapping[str, tuple[str, ...]] = {
    "home_recommendations": ("item_id",),
    "user_traits": ("trait", "subject"),
}
_TYPES = {
    "string": "text",
    "timestamp": "timestamp",
    "date": "date",
    "boolean": "boolean",
    "integer": "bigint",
    "double": "double precision",
}


@dataclass(frozen=True)
class Layout:
    """The names in one database."""

    schema: str
    tables: Mapping[str, Table]

    @property
    def sets(self) -> str:
        """Schema of what is not of one set."""
        return f"{self.schema}_sets"

    @property
    def contract(self) -> str:
        """Names the columns that the sets have: other columns, other sets."""
        shape = repr([(t.name, t.key, [(c.name, c.type) for c in t.columns]) for t in self.everything])
        return hashlib.sha256(shape.encode()).hexdigest()[:8]

    @property
    def everything(self) -> list[Table]:
        """All tables that BI sees."""
        return [*self.tables.values(), *RUN_TABLES.values(), *HISTORIES.values(), DATA_FRESHNESS]

    def slot(self, number: int) -> str:
        """Schema of one of the three sets."""
        return f"{self.schema}_{self.contract}_{number}"


def create_table(schema: str, table: Table) -> sql.Composable:
    """Return the statement that makes a table, where it is not there, with its key."""
    columns = [sql.SQL("{} " + _TYPES[c.type]).format(sql.Identifier(c.name)) for c in table.columns]
    return sql.SQL("create table if not exists {} ({}, primary key ({}))").format(
        sql.Identifier(schema, table.name), sql.SQL(", ").join(columns), names(table.key)
    )


def create_index(schema: str, table: str, columns: Iterable[str]) -> sql.Composable:
    """Return the statement that makes an index, where it is not there."""
    columns = tuple(columns)
    return sql.SQL("create index if not exists {} on {} ({})").format(
        sql.Identifier("_".join((table, *columns))), sql.Identifier(schema, table), names(columns)
    )


def names(columns: Iterable[str]) -> sql.Composable:
    """Return columns as a list for SQL."""
    return sql.SQL(", ").join(sql.Identifier(name) for name in columns)


def create_view(layout: Layout, table: Table) -> sql.Composable:
    """Return the statement that makes the view of one table, in place of one of the same columns or fewer."""
    name = sql.Identifier(layout.schema, table.name)
    columns = names(table.column_names)
    if table is DATA_FRESHNESS:
        runs = sql.Identifier(layout.sets, PIPELINE_RUNS.name)
        return sql.SQL("create or replace view {} as " + DATA_FRESHNESS_SQL).format(name, runs=runs)
    if table.name not in layout.tables:
        return sql.SQL("create or replace view {} as select {} from {}").format(
            name, columns, sql.Identifier(layout.sets, table.name)
        )
    # The condition reads no column: PostgreSQL decides it once, and does not touch the sets that are not current.
    branches = [
        sql.SQL("select {} from {} where (select slot from {}) = {}").format(
            columns,
            sql.Identifier(layout.slot(slot), table.name),
            sql.Identifier(layout.sets, "current_set"),
            sql.Literal(slot),
        )
        for slot in SLOTS
    ]
    return sql.SQL("create or replace view {} as {}").format(name, sql.SQL(" union all ").join(branches))


def describe(layout: Layout, table: Table) -> list[sql.Composable]:
    """Return the statements that say what a view and its columns mean."""
    view = sql.Identifier(layout.schema, table.name)
    said = [
        sql.SQL("comment on view {} is {}").format(
            view, sql.Literal(f"{table.description} Key: {', '.join(table.key)}.")
        )
    ]
    return said + [
        sql.SQL("comment on column {}.{} is {}").format(view, sql.Identifier(c.name), sql.Literal(c.description))
        for c in table.columns
    ]


def create_state(layout: Layout) -> list[sql.Composable]:
    """Return the statements that make what is not of one set, where it is not there."""
    sets = sql.Identifier(layout.sets)
    return [
        sql.SQL("create schema if not exists {}").format(sql.Identifier(layout.schema)),
        sql.SQL("create schema if not exists {}").format(sets),
        sql.SQL(
            "create table if not exists {}.slots (contract text, slot smallint, run_id text, "
            "published_at timestamp, current_until timestamptz, primary key (contract, slot))"
        ).format(sets),
        sql.SQL(
            "create table if not exists {}.current_set (is_only boolean primary key default true check (is_only), "
            "contract text not null, slot smallint not null)"
        ).format(sets),
        sql.SQL(
            "create table if not exists {}.history_days (as_of_date date primary key, run_id text not null, "
            "published_at timestamp)"
        ).format(sets),
        # Earlier releases did not keep these: null there, so that a day is brought once more where `published_at`
        # is, and to the tables that it lacks where `histories` is.
        sql.SQL(
            "alter table {}.history_days add column if not exists published_at timestamp, "
            "add column if not exists histories text"
        ).format(sets),
        *(create_table(layout.sets, table) for table in (*RUN_TABLES.values(), *HISTORIES.values())),
    ]


def add_columns(layout: Layout, table: Table, there: Iterable[str]) -> list[sql.Composable]:
    """Return the statements that add what a later release brought: null in earlier rows."""
    return [
        sql.SQL("alter table {} add column {} " + _TYPES[c.type]).format(
            sql.Identifier(layout.sets, table.name), sql.Identifier(c.name)
        )
        for c in table.columns
        if c.name not in set(there)
    ]


def allow_nulls(layout: Layout, table: Table, strict: Iterable[str]) -> list[sql.Composable]:
    """Return the statements that take back the NOT NULLs that earlier releases gave to more than the key."""
    return [
        sql.SQL("alter table {} alter column {} drop not null").format(
            sql.Identifier(layout.sets, table.name), sql.Identifier(name)
        )
        for name in strict
        if name not in table.key
    ]


def create_sets(layout: Layout) -> list[sql.Composable]:
    """Return the statements that make the three empty sets of this contract, where they are not there."""
    statements: list[sql.Composable] = []
    for slot in SLOTS:
        schema = layout.slot(slot)
        statements.append(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        statements += [create_table(schema, table) for table in layout.tables.values()]
        statements += [
            create_index(schema, table, columns) for table, columns in INDEXES.items() if table in layout.tables
        ]
        statements.append(
            sql.SQL("insert into {} (contract, slot) values ({}, {}) on conflict do nothing").format(
                sql.Identifier(layout.sets, "slots"), sql.Literal(layout.contract), sql.Literal(slot)
            )
        )
    return statements

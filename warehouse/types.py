"""The types of `expectations/tables.py` in DuckDB's words."""

from __future__ import annotations

import duckdb

from expectations.tables import Table

# A timestamp is UTC by contract and stored without a zone: readers see the same figures whatever their own zone.
_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "double": "DOUBLE",
}


def duckdb_type(type_: str) -> str:
    """Return the DuckDB type of one of the contract's types, e.g. `integer` → `BIGINT`."""
    return _DUCKDB_TYPES.get(type_) or type_.upper()


def sql_text(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def typed(rows: duckdb.DuckDBPyRelation, table: Table) -> duckdb.DuckDBPyRelation:
    """Return rows with all of the table's columns, in order and typed.

    A column that `rows`, written by an older release, does not have yet is null.
    """
    return rows.project(
        ", ".join(
            f"cast({c.name if c.name in rows.columns else 'null'} as {duckdb_type(c.type)}) as {c.name}"
            for c in table.columns
        )
    )


def count_rows(rows: duckdb.DuckDBPyRelation, where: str = "true") -> int:
    """Count the rows that fulfil a condition."""
    return int(rows.aggregate(f"count(*) filter (where {where})").fetchall()[0][0])

"""Rows as DuckDB relations: typed as the contract says, counted."""

from __future__ import annotations

import duckdb

from expectations.tables import Table


def sql_text(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def typed(rows: duckdb.DuckDBPyRelation, table: Table) -> duckdb.DuckDBPyRelation:
    """Return rows with all of the table's columns, in order and typed.

    A column that `rows`, written by an older release, does not have yet is null.
    """
    return rows.project(
        ", ".join(
            f"cast({c.name if c.name in rows.columns else 'null'} as {c.duckdb_type}) as {c.name}"
            for c in table.columns
        )
    )


def count_rows(rows: duckdb.DuckDBPyRelation, where: str = "true") -> int:
    """Count the rows that fulfil a condition."""
    return int(rows.aggregate(f"count(*) filter (where {where})").fetchall()[0][0])

"""What a table is: columns with types and meanings, a key, a partition."""

from __future__ import annotations

from dataclasses import dataclass

_DUCKDB_TYPES = {"string": "VARCHAR", "timestamp": "TIMESTAMP", "integer": "BIGINT"}


@dataclass(frozen=True)
class Column:
    """One column: `required` means the feed must bring the column, or that a table's value is never null."""

    name: str
    type: str
    description: str
    required: bool = False

    @property
    def duckdb_type(self) -> str:
        """The type in DuckDB's words. Timestamps are UTC by contract and stored without a zone."""
        return _DUCKDB_TYPES.get(self.type) or self.type.upper()


@dataclass(frozen=True)
class Table:
    """One table: one row per `key`; `partition` is the column by which the lake splits it into files."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition: str | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the columns that must be there (feeds) or are never null (tables)."""
        return tuple(column.name for column in self.columns if column.required)


def columns(*lines: str) -> tuple[Column, ...]:
    """Read `name! type | description` lines; the exclamation mark stands for required."""
    read = []
    for line in lines:
        head, description = line.split("|", 1)
        name, type_ = head.split()
        read.append(Column(name.rstrip("!"), type_, description.strip(), name.endswith("!")))
    return tuple(read)

"""Parquet files rewritten without some rows: same schema, metadata and compression, one row group at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from privacy.rule import Rule, mentions, without_mentions

Owners = Callable[[pa.Table], Sequence[str | None]]


def rewrite_parquet(path: Path, owners: Owners, users: frozenset[str] = frozenset()) -> Counter[str]:
    """Rewrite a file without rows that have an owner, atomically; return their number by owner, with mentions.

    `owners` returns whose each row is, None for rows that stay; in these, mentions of `users` are replaced.
    A file that nothing changes in is left alone.
    """
    with pq.ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        if not any(_changes(file.read_row_group(group), owners, users) for group in groups):
            return Counter()
        removed: Counter[str] = Counter()
        aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with pq.ParquetWriter(aside, file.schema_arrow, compression=_compression(file.metadata)) as writer:
            for group in groups:
                rows = file.read_row_group(group)
                whose = owners(rows)
                removed.update(owner for owner in whose if owner)
                left = rows.filter(pa.array([not owner for owner in whose]))
                removed.update(mentioned(left, users))
                writer.write_table(_without_texts(left, users))
    with aside.open("rb") as written:
        os.fsync(written.fileno())
    aside.replace(path)
    return removed


def owners_by_any_id(rule: Rule) -> Owners:
    """Take a row for a forgotten user's wherever any of its texts is the id that the shop has given them.

    Of a key of several columns with | between, such as a contact's, it may be a part.
    """

    def user_of(value: str) -> str | None:
        parts = value.split("|") if "|" in value else ()
        return next(filter(None, map(rule.user_of, (value, *parts))), None)

    def owners(rows: pa.Table) -> list[str | None]:
        columns = [rows[name].to_pylist() for name in _texts(rows)]
        known = {value: user_of(value) for column in columns for value in set(column) if value}
        found = ((known[value] for value in values if value) for values in zip(*columns, strict=True))
        return [next(filter(None, of_row), None) for of_row in found] or [None] * rows.num_rows

    return owners


def names_by_any_id(path: Path, rule: Rule) -> bool:
    """Tell whether any text of a file is, or has as a part, the id that the shop has given a forgotten user."""
    owners = owners_by_any_id(rule)
    with pq.ParquetFile(path) as file:
        return any(any(owners(file.read_row_group(group))) for group in range(file.metadata.num_row_groups))


def mentioned(rows: pa.Table, users: frozenset[str]) -> set[str]:
    """Return which of these pseudonyms stand in any text of a table."""
    found: set[str] = set()
    for column in _texts(rows):
        for value in pc.unique(rows[column]).to_pylist():
            if value and len(value) >= 32:
                found.update(mentions(value, users))
    return found


def _changes(rows: pa.Table, owners: Owners, users: frozenset[str]) -> bool:
    return any(owners(rows)) or bool(mentioned(rows, users))


def _texts(rows: pa.Table) -> list[str]:
    def is_text(kind: pa.DataType) -> bool:
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    return [field.name for field in rows.schema if is_text(field.type)]


def _without_texts(rows: pa.Table, users: frozenset[str]) -> pa.Table:
    for name in _texts(rows) if users else ():
        values = rows[name].to_pylist()
        if any(value and len(value) >= 32 and any(mentions(value, users)) for value in values):
            field = rows.schema.field(name)
            cleared = [value and without_mentions(value, users) for value in values]
            rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(cleared, field.type))
    return rows


def _compression(metadata: pq.FileMetaData) -> dict[str, str] | str:
    if not metadata.num_row_groups:
        return "zstd"
    group = metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    return {c.path_in_schema: c.compression.lower().replace("uncompressed", "none") for c in columns}

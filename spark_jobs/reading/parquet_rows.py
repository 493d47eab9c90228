"""Parquet: whatever types the columns have, they come out as text, and times in UTC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.reading.rows import MALFORMED, USER_ID, RawRow, RowReader, UnreadableFileError, numbered

_ROWS_AT_ONCE = 4096
_WRITE_AGAIN = "Have the shop write the file again; write files aside and rename them when whole."


class ParquetReader(RowReader):
    """Reads one feed's Parquet files."""

    def read(self, path: Path) -> Iterator[RawRow]:
        """Yield a file's rows. Raises UnreadableFileError."""
        return numbered(self._rows(path))

    def _rows(self, path: Path) -> Iterator[tuple[str, str | None, list[str | None] | None]]:
        if path.stat().st_size == 0:
            raise UnreadableFileError("is empty (0 bytes)", _WRITE_AGAIN)
        try:
            with pq.ParquetFile(path) as file:
                self.columns_seen = set(file.schema_arrow.names)
                self.check_columns("is a table")
                present = [name for name in self.table.column_names if name in self.columns_seen]
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=present, use_threads=False):
                    yield from self._batch(batch)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(
                f"is not a whole Parquet file ({_first_line(error)})", _WRITE_AGAIN
            ) from error

    def _batch(self, batch: pa.RecordBatch) -> Iterator[tuple[str, str | None, list[str | None] | None]]:
        names = batch.schema.names
        order = [names.index(name) if name in names else None for name in self.table.column_names]
        user = names.index(USER_ID) if USER_ID in names else None
        columns = [_as_text(batch.column(name), name) for name in names]
        for row in zip(*columns, strict=True):
            fields = ["" if value is None else value.strip() for value in row]
            if user is not None and fields[user]:
                fields[user] = self.pseudonyms.of(fields[user])
            raw = json.dumps({n: v for n, v in zip(names, fields, strict=True) if v}, ensure_ascii=False)
            if "\\u0000" in raw:
                yield raw, MALFORMED, None
            else:
                yield raw, None, [None if place is None else fields[place] for place in order]


def _as_text(column: pa.Array, name: str) -> list[str | None]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_nested(kind):
        raise UnreadableFileError(
            f"holds {kind} in the column {name}, not single values",
            "Have the shop write one value a row and column.",
        )
    if pa.types.is_timestamp(kind):
        # A time without a zone is UTC; nanoseconds are cut, as the lake keeps microseconds.
        column = pc.cast(column, pa.timestamp("us", kind.tz), safe=False)
        column = pc.strftime(column.cast(pa.timestamp("us", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    text = pc.cast(column, pa.string())
    return text.to_pylist()  # type: ignore[no-any-return]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

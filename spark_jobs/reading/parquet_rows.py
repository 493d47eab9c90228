"""Parquet: whatever types the columns have, they come out as text, and times in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.reading.rows import USER_ID, RawRow, RowReader, UnreadableFileError, numbered

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
        columns = {name: self._as_text(batch.column(name), name) for name in batch.schema.names}
        absent = [None] * len(batch)
        for values in zip(*[columns.get(name, absent) for name in self.table.column_names], strict=True):
            # Its raw text, and so its cost, is left to whoever needs it: it is these values.
            yield "", None, list(values)

    def _as_text(self, column: pa.Array, name: str) -> list[str | None]:
        text = pc.utf8_trim_whitespace(_cast(column, name))
        if name == USER_ID:
            encoded = text.dictionary_encode()
            known = [self.pseudonyms.of(value) if value else value for value in encoded.dictionary.to_pylist()]
            text = pc.take(pa.array(known, pa.string()), encoded.indices)
        filled: list[str | None] = pc.fill_null(text, "").to_pylist()
        return filled


def _cast(column: pa.Array, name: str) -> pa.Array:
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
    return pc.cast(column, pa.string())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

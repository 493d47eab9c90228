"""Feed files out of one sorted table: a file a day."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feeds.prepared_folder import PreparedFolder


def write_daily(folder: PreparedFolder, feed: str, rows: pa.Table, day_column: str, extension: str) -> int:
    """Write `<feed>/<day>.<extension>` for each day of `rows`, which are sorted by day; return how many files.

    The column of the day is left out of the files. The extension, parquet or csv, is also the format.
    """
    files = 0
    for day, start, length in day_runs(rows[day_column].to_pylist()):
        part = rows.slice(start, length).drop_columns([day_column])
        content = parquet_bytes(part) if extension == "parquet" else csv_bytes(part)
        folder.write(f"{feed}/{day}.{extension}", content)
        files += 1
    return files


def day_runs(days: list[Any]) -> Iterator[tuple[Any, int, int]]:
    """Yield (day, start, length) of each run of equal days in a sorted list."""
    starts = [i for i, day in enumerate(days) if i == 0 or day != days[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
        yield days[start], start, end - start


def parquet_bytes(rows: pa.Table) -> bytes:
    """Return the table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def csv_bytes(rows: pa.Table) -> bytes:
    """Return the table as CSV with a header, UTF-8; null is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    return text.getvalue().encode()

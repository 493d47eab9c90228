"""Raw rows as a DataFrame: many small files a task, one row at a time, memory bounded."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from expectations.tables import FEEDS
from spark_jobs.landed import Landed
from spark_jobs.pseudonyms import Pseudonyms
from spark_jobs.reading.csv_rows import CsvReader
from spark_jobs.reading.json_rows import JsonReader
from spark_jobs.reading.parquet_rows import ParquetReader
from spark_jobs.reading.rows import RawRow, UnreadableFileError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: The problem of the one row that every file ends with: `raw` is what was seen in it, as JSON.
FILE_SEEN = "file_seen"
_ROWS_AT_ONCE = 4096
_CHARACTERS_AT_ONCE = 8 << 20
_BYTES_A_TASK = 64 << 20


def read_raw(spark: SparkSession, landing: Path, feed: str, files: Sequence[Landed], key: bytes) -> DataFrame:
    """Read a feed's landed files: one row for each raw row, and one FILE_SEEN row for each file.

    Columns: source_file, row_number, file_day (null: undated), raw, problem (null: none), and the feed's
    columns as text. User ids are pseudonyms already. A file that is wrong as a whole raises nothing here: its
    FILE_SEEN row says what is wrong (`what`, `remedy`), else `columns`, the names of all columns in it.
    """
    columns = FEEDS[feed].column_names
    schema = pa.schema(
        [
            ("source_file", pa.string()),
            ("row_number", pa.int64()),
            ("file_day", pa.date32()),
            ("raw", pa.string()),
            ("problem", pa.string()),
            *[(name, pa.string()) for name in columns],
        ]
    )
    tasks = share_out(files, spark.sparkContext.defaultParallelism)

    def read(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pseudonyms = Pseudonyms(key)
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                for file in tasks[number]:
                    yield from _batches(landing, file, pseudonyms, schema)

    kinds = {"int64": "bigint", "date32[day]": "date", "string": "string"}
    ddl = ", ".join(f"`{column.name}` {kinds[str(column.type)]}" for column in schema)
    return spark.range(0, len(tasks), 1, max(len(tasks), 1)).mapInArrow(read, ddl)


def share_out(files: Sequence[Landed], cores: int) -> list[list[Landed]]:
    """Share files out to tasks of like size: two a core, more where there is much to read."""
    total = sum(file.size for file in files)
    tasks: list[list[Landed]] = [[] for _ in range(min(len(files), max(2 * cores, total // _BYTES_A_TASK)))]
    loads = [(0, number) for number in range(len(tasks))]
    for file in sorted(files, key=lambda file: (-file.size, file.path)):
        load, number = heapq.heappop(loads)
        tasks[number].append(file)
        heapq.heappush(loads, (load + file.size, number))
    return tasks


def read_rows(landing: Path, file: Landed, pseudonyms: Pseudonyms) -> Iterator[RawRow]:
    """Yield one landed file's rows, and last its FILE_SEEN row, whose number is the count of the others."""
    name = file.path.lower().removesuffix(".gz")
    reader: CsvReader | JsonReader | ParquetReader
    if name.endswith(".csv"):
        reader = CsvReader(file.feed, pseudonyms)
    elif name.endswith(".parquet"):
        reader = ParquetReader(file.feed, pseudonyms)
    else:
        reader = JsonReader(file.feed, pseudonyms)
    seen: dict[str, Any] = {}
    count = 0
    try:
        for row in reader.read(landing / file.path):
            count = row.number
            yield row
        seen["columns"] = sorted(reader.columns_seen)
    except UnreadableFileError as error:
        seen = {"what": error.what, "remedy": error.remedy}
    yield RawRow(count, json.dumps(seen), FILE_SEEN, None)


def _batches(landing: Path, file: Landed, pseudonyms: Pseudonyms, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Gather one file's rows into batches bounded in rows and in characters."""
    empty: list[str | None] = [None] * (len(schema) - 5)
    rows: list[tuple[Any, ...]] = []
    characters = 0

    def gathered() -> pa.RecordBatch:
        columns = zip(*rows, strict=True)
        return pa.record_batch(
            [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema
        )

    for number, raw, problem, values in read_rows(landing, file, pseudonyms):
        rows.append((file.path, number, file.day, raw, problem, *(empty if values is None else values)))
        characters += len(raw)
        if len(rows) >= _ROWS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield gathered()
            rows, characters = [], 0
    if rows:
        yield gathered()

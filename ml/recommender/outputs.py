"""Output tables as Parquet: columns and types of `expectations/tables/`, written aside, put in place whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import OUTPUTS, outputs_dir

ARROW_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def output_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of an output table: its columns, then model_version."""
    columns = [
        pa.field(column.name, ARROW_TYPES[column.type], nullable=not column.required)
        for column in OUTPUTS[table].columns
    ]
    return pa.schema([*columns, pa.field("model_version", pa.string(), nullable=False)])


@contextmanager
def output_writer(lake: Path, as_of: str, table: str) -> Iterator[Callable[[Mapping[str, Any]], int]]:
    """Give a function that writes one batch and returns its rows; the table is put in place whole at the end.

    Batches come in the order of the table's key. A batch's value is an array, or one value for all of its rows; a
    column that it lacks is null. An error leaves the table that was there before.
    """
    schema = output_schema(table)
    path = outputs_dir(lake, as_of) / f"{table}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pq.ParquetWriter(aside, schema, compression="zstd") as writer:

            def write(batch: Mapping[str, Any]) -> int:
                length = next(len(value) for value in batch.values() if isinstance(value, np.ndarray | list))
                arrays = [_array(batch.get(field.name), field.type, length) for field in schema]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                return length

            yield write
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_output(lake: Path, as_of: str, table: str, batches: Iterable[Mapping[str, Any]]) -> int:
    """Write one table from its batches, as `output_writer` does, and return its rows."""
    with output_writer(lake, as_of, table) as write:
        return sum(write(batch) for batch in batches)


def _array(value: Any, type_: pa.DataType, length: int) -> pa.Array:
    if isinstance(value, np.ndarray | list):
        return pa.array(value, type_)
    return pa.repeat(pa.scalar(value, type_), length)

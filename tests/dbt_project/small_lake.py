"""A small lake, written as the cleaning step writes one, and dbt run on it as a run of the pipeline does."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import CLEAN, OUTPUTS, Column, Table, clean_dir, features_db, outputs_dir

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
GENERATED_AT = "2026-01-01 02:00:00"

_ARROW = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "double": pa.float64(),
}

# A process a call, as in a run: dbt lets go of DuckDB's file only when its process ends. Each is forked from one
# that has imported dbt already, which takes longer than what most tests ask of it.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["dbt.cli.main", "dbt.adapters.duckdb", __name__])


def _run_dbt(command: list[str], lake: str, output: str) -> None:
    from dbt.cli.main import dbtRunner

    os.environ["QIANMIAN_LAKE"] = lake
    with open(output, "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    done = dbtRunner().invoke(command)
    if done.exception:
        print(done.exception, flush=True)
    os._exit(0 if done.success else 1)


def _arrow_type(column: Column) -> pa.DataType:
    if column.type.startswith("decimal"):
        precision, scale = column.type.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return _ARROW[column.type]


def arrow_table(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of the table's columns; what a row does not name is null."""
    schema = pa.schema([(column.name, _arrow_type(column)) for column in table.columns])
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, f"{table.name} has no {unknown}"
    columns = {f.name: pa.array([_as_python(row.get(f.name), f.type) for row in rows], f.type) for f in schema}
    return pa.table(columns, schema=schema)


def _as_python(value: Any, type_: pa.DataType) -> Any:
    if isinstance(value, str) and pa.types.is_date(type_):
        return date.fromisoformat(value)
    if isinstance(value, str) and pa.types.is_timestamp(type_):
        return datetime.fromisoformat(value)
    if isinstance(value, str) and pa.types.is_decimal(type_):
        return Decimal(value)
    return value


class SmallLake:
    """One shop's lake with clean tables written by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Replace a clean table: one Parquet file a partition, then the manifest that names them."""
        shape = CLEAN[table]
        assert shape.partition is not None
        folder = clean_dir(self.path, table)
        partitions: dict[str, list[dict[str, Any]]] = {}
        for number, row in enumerate(rows, start=1):
            whole = {"source_file": f"{table}/x", "row_number": number} | row
            whole = {name: value for name, value in whole.items() if name in shape.column_names}
            partitions.setdefault(str(whole[shape.partition]), []).append(whole)
        manifest: dict[str, Any] = {"table": table, "partition": shape.partition, "partitions": {}, "inputs": {}}
        for value, part in sorted(partitions.items()):
            version = hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()
            name = f"commit={version[:12]}/{shape.partition}={value}/part-0.parquet"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(arrow_table(shape, part), folder / name)
            manifest["partitions"][value] = {"files": [name], "rows": len(part), "version": version}
        (folder / "_manifest.json").write_text(json.dumps(manifest))

    def put_output(self, as_of: str, table: str, rows: list[dict[str, Any]]) -> None:
        """Write what a model would have written for the day."""
        shape = OUTPUTS[table]
        with_version = Table(table, "", shape.key, (*shape.columns, Column("model_version", "string", "")))
        outputs_dir(self.path, as_of).mkdir(parents=True, exist_ok=True)
        pq.write_table(arrow_table(with_version, rows), outputs_dir(self.path, as_of) / f"{table}.parquet")

    def dbt(self, as_of: str, *arguments: str, **more: str) -> tuple[int, str]:
        """Run `dbt <arguments>` on the lake for a day and return its exit code and its log."""
        values = {
            "as_of_date": as_of,
            "run_id": "test",
            "generated_at": GENERATED_AT,
            "currency": "CNY",
            "full_refresh_features": "false",
        } | more
        command = [
            *arguments,
            *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--vars", json.dumps(values)),
            *("--target-path", str(self.path / "dbt_target"), "--log-path", str(self.path / "dbt_logs")),
            "--no-use-colors",
        ]
        output = self.path / "dbt_output"
        process = _PROCESSES.Process(target=_run_dbt, args=(command, str(self.path), str(output)))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, output.read_text()

    def build(self, as_of: str, *arguments: str, **more: str) -> str:
        """Build what is selected, all features if nothing is, and return dbt's log."""
        selected = arguments or ("--select", "tag:features", "--exclude-resource-type", "unit_test")
        code, output = self.dbt(as_of, "build", *selected, **more)
        assert code == 0, output[-6000:]
        return output

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the features file; tables are named in full, e.g. features.features.item_features."""
        with duckdb.connect(str(features_db(self.path)), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def copy(self, path: Path) -> SmallLake:
        """The same lake in another place, with what dbt has built in it so far."""
        shutil.copytree(self.path, path)
        return SmallLake(path)

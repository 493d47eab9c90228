"""Writing clean tables: new files beside the old ones, and what the manifest has to say of them."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from expectations.tables import CLEAN
from spark_jobs.manifest import Manifest
from spark_jobs.transforms.typed import table_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_FOLDER = "partition_value"


@dataclass
class Written:
    """What one table's new files hold: partitions as the manifest wants them, and rows by input file."""

    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows_by_file: dict[str, int] = field(default_factory=dict)


def read_table(
    spark: SparkSession, folder: Path, manifest: Manifest, partitions: Collection[str] | None = None
) -> DataFrame:
    """Read a clean table's rows that stand; `partitions` chooses some of them."""
    names = manifest.partitions if partitions is None else [p for p in manifest.partitions if p in partitions]
    files = [str(folder / file) for name in names for file in manifest.partitions[name]["files"]]
    schema = table_schema(CLEAN[manifest.table])
    return spark.read.schema(schema).parquet(*files) if files else no_rows(spark, manifest.table)


def no_rows(spark: SparkSession, table: str) -> DataFrame:
    """Return a clean table without rows."""
    return spark.createDataFrame([], table_schema(CLEAN[table]))


def read_kept(
    spark: SparkSession,
    folder: Path,
    manifest: Manifest,
    kept: Collection[str],
    partitions: Collection[str] | None = None,
) -> DataFrame:
    """Read a feed's clean rows that came from the input files in `kept`; `partitions` chooses some of them.

    Rows are only looked at one by one in partitions where others stand too: on most days nowhere.
    """
    wanted = set(manifest.partitions if partitions is None else partitions)
    others = [entry["partitions"] for path, entry in manifest.inputs.items() if path not in kept]
    mixed = wanted & {value for values in others for value in values}
    rows = read_table(spark, folder, manifest, wanted - mixed)
    return rows.unionByName(only_of(read_table(spark, folder, manifest, mixed), kept)) if mixed else rows


def only_of(rows: DataFrame, files: Iterable[str]) -> DataFrame:
    """Keep the rows that came from these input files."""
    return rows.where(F.col("source_file").isin(sorted(files)))


def write_rows(rows: DataFrame, folder: Path, table: str, commit_id: str) -> dict[str, list[str]]:
    """Write rows under `commit=<id>/<partition>=<value>/`, sorted by key; return the files by partition."""
    shape = CLEAN[table]
    partition = shape.partition or ""
    target = folder / f"commit={commit_id}"
    shutil.rmtree(target, ignore_errors=True)
    # The partition's column stays in the files too: it is written under another name for the folders.
    (
        rows.select(*shape.column_names, F.col(partition).alias(_FOLDER))
        .hint("rebalance", _FOLDER)
        .sortWithinPartitions(_FOLDER, *shape.key, *(["arrived_on"] if "arrived_on" in shape.column_names else []))
        .write.partitionBy(_FOLDER)
        .parquet(str(target))
    )
    files: dict[str, list[str]] = {}
    for written in sorted(target.glob(f"{_FOLDER}=*")):
        value = written.name.removeprefix(f"{_FOLDER}=")
        named = written.with_name(f"{partition}={value}")
        written.rename(named)
        files[value] = []
        for number, part in enumerate(sorted(named.glob("*.parquet"))):
            final = part.rename(named / f"part-{number}.parquet")
            _sync(final)
            files[value].append(final.relative_to(folder).as_posix())
    return files


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe(spark: SparkSession, written: Mapping[str, tuple[Path, dict[str, list[str]]]]) -> dict[str, Written]:
    """Read back what was written, table by table ({table: (folder, files by partition)}), in one Spark job.

    A partition's `version` is a hash over its rows whatever their order or their spread over files. Which values
    are null is hashed too: Spark's hash passes over nulls, so that a value moved to the column beside it would
    leave the hash as it was.
    """
    parts = []
    for table, (folder, files) in written.items():
        shape = CLEAN[table]
        paths = [str(folder / file) for names in files.values() for file in names]
        if not paths:
            continue
        with_nulls = [part for name in shape.column_names for part in (F.col(name), F.col(name).isNull())]
        source = F.col("source_file") if "source_file" in shape.column_names else F.lit("")
        parts.append(
            spark.read.schema(table_schema(shape))
            .parquet(*paths)
            .select(
                F.lit(table).alias("table_name"),
                F.col(str(shape.partition)).cast("string").alias("value"),
                source.alias("source_file"),
                F.xxhash64(*with_nulls).alias("hash"),
            )
        )
    result = {table: Written() for table in written}
    if not parts:
        return result
    hashes: dict[tuple[str, str], int] = defaultdict(int)
    # One shuffle for all tables, as each costs more than the rows of a small shop.
    groups = (
        reduce(lambda left, right: left.unionByName(right), parts)
        .groupBy("table_name", "value", "source_file")
        .agg(F.count("*").alias("rows"), F.bit_xor("hash").alias("hash"))
        .collect()
    )
    for row in sorted(groups, key=lambda row: (row.value, row.source_file)):
        one = result[row.table_name]
        described = one.partitions.setdefault(
            row.value, {"files": written[row.table_name][1][row.value], "rows": 0, "version": ""}
        )
        described["rows"] += row.rows
        hashes[row.table_name, row.value] ^= row.hash
        one.rows_by_file[row.source_file] = one.rows_by_file.get(row.source_file, 0) + row.rows
    for (table, value), hashed in hashes.items():
        described = result[table].partitions[value]
        described["version"] = sha256(f"{described['rows']} {hashed}".encode()).hexdigest()[:16]
    return result

"""Settling a step: judge the rows, refuse bad files, write what stands, account for every row, commit."""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from expectations.tables import CLEAN
from spark_jobs import store
from spark_jobs.cleaning import FeedWork, Lake
from spark_jobs.landed import Landed
from spark_jobs.manifest import Manifest, columns_hash, commit
from spark_jobs.reading.reader import FILE_SEEN
from spark_jobs.verdicts import FileVerdict, judge, refuse_bad_files, warn_of_unasked_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

TABLES_AT_ONCE = 2


@dataclass
class NewTable:
    """One table's next state: partitions that are replaced, by which rows (None: none), and its inputs."""

    manifest: Manifest
    replaced: set[str]
    rows: DataFrame | None
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)


def settle(
    spark: SparkSession,
    lake: Lake,
    feeds: Sequence[FeedWork],
    judged: Mapping[str, DataFrame],
    max_share: float,
    depends_on: Mapping[str, str],
    more_tables: Callable[[Mapping[str, DataFrame]], list[NewTable]],
) -> dict[str, FileVerdict]:
    """Bring the feeds' clean tables and the quarantine to their next state; return the files' verdicts.

    `judged` are each feed's judged rows (see `judge`), `more_tables` makes tables that follow from the clean
    ones. Raises StepError for bad files, with nothing committed.
    """
    for rows in judged.values():
        rows.persist()
    files = judge(judged, lake.landing) if judged else {}
    refuse_bad_files(files.values(), judged, lake.landing, max_share)
    warn_of_unasked_columns(files.values())
    log.info("%d files judged, %d rows", len(files), sum(file.rows for file in files.values()))

    clean = {
        feed: rows.where(F.col("reason").isNull() & F.col("set_aside").isNull()) for feed, rows in judged.items()
    }
    # The order of commits: a feed's own manifest says which files are done, so it comes last. After a kill in
    # between, the next run does these files again and replaces all that was written for them before.
    feed_tables = [_feed_table(spark, one, clean.get(one.feed), files) for one in feeds]
    tables = [_quarantine(spark, lake, feeds, judged, files), *more_tables(clean), *feed_tables]
    described = _write(spark, lake, tables)
    _account(files.values(), described)
    for table in feed_tables:
        _account_for_all(table, described[table.manifest.table])
    for table in tables:
        _commit(lake, table, described[table.manifest.table].partitions, depends_on)
    spark.catalog.clearCache()
    return files


def _feed_table(
    spark: SparkSession, one: FeedWork, clean: DataFrame | None, files: Mapping[str, FileVerdict]
) -> NewTable:
    """Make a feed's next state: partitions that its files to read had rows in, or have now."""
    known = [entry["partitions"] for path, entry in one.manifest.inputs.items() if path not in one.work.kept]
    found = [files[file.path].partitions for file in one.work.read]
    replaced = {partition for partitions in [*known, *found] for partition in partitions}
    parts = []
    if clean is not None and any(found):
        parts.append(clean.select(*CLEAN[one.feed].column_names))
    if one.work.kept and replaced & one.manifest.partitions.keys():
        parts.append(store.read_kept(spark, one.folder, one.manifest, one.work.kept, replaced))
    inputs = {**one.work.kept, **{file.path: _input(file, files[file.path]) for file in one.work.read}}
    return NewTable(one.manifest, replaced, _union(parts), inputs)


def _quarantine(
    spark: SparkSession,
    lake: Lake,
    feeds: Sequence[FeedWork],
    judged: Mapping[str, DataFrame],
    files: Mapping[str, FileVerdict],
) -> NewTable:
    """Make the quarantine's next state: these feeds' rejected rows, and the standing ones of kept files."""
    columns = CLEAN["quarantine"].column_names
    manifest = lake.manifest("quarantine")
    replaced = {one.feed for one in feeds}
    kept = {path for one in feeds for path in one.work.kept}
    with_rejected = {path.split("/", 1)[0] for path, file in files.items() if file.quarantined}
    parts = [
        judged[feed]
        .where(F.col("reason").isNotNull() & (F.col("reason") != FILE_SEEN))
        .withColumn("feed", F.lit(feed))
        .select(*columns)
        for feed in sorted(with_rejected)
    ]
    if kept and replaced & manifest.partitions.keys():
        standing = store.read_table(spark, lake.folder("quarantine"), manifest, replaced)
        parts.append(store.only_of(standing, kept).select(*columns))
    return NewTable(manifest, replaced, _union(parts))


def _union(parts: Sequence[DataFrame]) -> DataFrame | None:
    return reduce(lambda left, right: left.unionByName(right), parts) if parts else None


def _write(spark: SparkSession, lake: Lake, tables: Sequence[NewTable]) -> dict[str, store.Written]:
    """Write the tables' new files, where nobody sees them yet, and describe them."""
    commit_id = secrets.token_hex(8)

    def write(table: NewTable) -> dict[str, list[str]]:
        if table.rows is None:
            return {}
        name = table.manifest.table
        files = store.write_rows(table.rows, lake.folder(name), name, commit_id)
        log.info("%s: %d partitions written", name, len(files))
        return files

    try:
        with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:  # small tables use what large ones leave idle
            written = list(pool.map(write, tables))
    except Exception:
        for table in tables:  # on a full disk the half of it would be in the way of whatever is next
            shutil.rmtree(lake.folder(table.manifest.table) / f"commit={commit_id}", ignore_errors=True)
        raise
    names = [table.manifest.table for table in tables]
    return store.describe(spark, {n: (lake.folder(n), files) for n, files in zip(names, written, strict=True)})


def _standing(table: NewTable) -> dict[str, dict[str, Any]]:
    return {value: part for value, part in table.manifest.partitions.items() if value not in table.replaced}


def _commit(
    lake: Lake, table: NewTable, written: Mapping[str, dict[str, Any]], depends_on: Mapping[str, str]
) -> None:
    commit(
        lake.folder(table.manifest.table),
        replace(
            table.manifest,
            partitions=dict(sorted({**_standing(table), **written}.items())),
            inputs=dict(sorted(table.inputs.items())),
            depends_on=dict(depends_on),
            pseudonym_key=lake.fingerprint,
            columns_hash=columns_hash(table.manifest.table),
        ),
    )


def _input(file: Landed, verdict: FileVerdict) -> dict[str, Any]:
    """What the manifest keeps of an input file."""
    return {
        "sha256": file.sha256,
        "partitions": sorted(verdict.partitions),
        "counts": verdict.counts(),
        "arrived_through": file.day.isoformat() if file.day else verdict.arrived_through,
    }


def _account(files: Iterable[FileVerdict], described: Mapping[str, store.Written]) -> None:
    """Hold what was read against what was judged and what was written; raise RuntimeError where they differ."""
    for file in files:
        rejected = sum(file.quarantined.values())
        judged = file.clean + rejected + sum(file.set_aside.values())
        feed = file.path.split("/", 1)[0]
        written = described[feed].rows_by_file.get(file.path, 0)
        quarantined = described["quarantine"].rows_by_file.get(file.path, 0)
        if not file.rows == judged or written != file.clean or quarantined != rejected:
            raise RuntimeError(
                f"{file.path}: {file.rows} rows read, but {file.clean} clean ({written} written), {rejected} "
                f"rejected ({quarantined} written) and {sum(file.set_aside.values())} set aside"
            )


def _account_for_all(table: NewTable, written: store.Written) -> None:
    """Hold a feed's next state against all files that it is made from, those not read now among them.

    Raises:
        RuntimeError: rows that stood, or were written, are not there.

    """
    rows = sum(part["rows"] for part in {**_standing(table), **written.partitions}.values())
    wanted = sum(entry["counts"]["clean"] for entry in table.inputs.values())
    if rows != wanted:
        raise RuntimeError(
            f"{table.manifest.table}: its files have {wanted} clean rows, but the clean table would have {rows}. "
            "On a cluster, see that all machines see a new file at once (docs/cluster.md)."
        )

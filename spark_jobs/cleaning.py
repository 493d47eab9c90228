"""The path that both cleaning steps share: plan, judge, refuse, write aside, account for, commit."""

from __future__ import annotations

import argparse
import fcntl
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.tables import CLEAN, clean_dir, landing_dir
from qianmian.step import StepError, step_parser
from spark_jobs.landed import Landed, Work, read_landing
from spark_jobs.manifest import NAME, Manifest, commit, read_manifest
from spark_jobs.pseudonyms import Pseudonyms, read_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_jobs.store import Written
    from spark_jobs.verdicts import FileVerdict

log = logging.getLogger(__name__)


def cleaning_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a cleaning step."""
    parser = step_parser(description)
    parser.add_argument(
        "--pseudonym-key-file",
        type=Path,
        help="key of the user pseudonyms, made where there is none; QIANMIAN_PSEUDONYM_KEY goes before it "
        "(default: secrets/pseudonym.key two folders above the lake)",
    )
    parser.add_argument(
        "--max-quarantined-share",
        type=float,
        default=0.2,
        help="of a file's rows; more, and the step stops (default: %(default)s)",
    )
    parser.add_argument("--master", default="local[2]", help="Spark's master (default: %(default)s)")
    parser.add_argument("--driver-memory", default="2g", help="memory of Spark's driver (default: %(default)s)")
    parser.add_argument("--full-refresh", action="store_true", help="clean everything again from landing")
    return parser


@dataclass
class FeedWork:
    """One feed on its way through a step: its manifest as it stood, and what of it is to be done."""

    feed: str
    folder: Path
    manifest: Manifest
    work: Work


@dataclass
class NewTable:
    """One table's next state: partitions that fall away, rows for new files, and its next inputs."""

    manifest: Manifest
    touched: set[str]
    rows: DataFrame
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)


class Lake:
    """A shop's clean tables while one step holds them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.root: Path = args.lake.resolve()
        self.landing = landing_dir(self.root)
        self.key = read_key(args.pseudonym_key_file or self.root.parent.parent / "secrets" / "pseudonym.key")
        self.fingerprint = Pseudonyms(self.key).fingerprint()
        self._full_refresh: bool = args.full_refresh

    def landed(self, feeds: Sequence[str]) -> dict[str, list[Landed]]:
        """List what has landed, by feed."""
        by_feed: dict[str, list[Landed]] = {feed: [] for feed in feeds}
        for file in read_landing(self.root).values():
            if file.feed in by_feed:
                by_feed[file.feed].append(file)
        return by_feed

    def folder(self, table: str) -> Path:
        """Where a clean table lies."""
        return clean_dir(self.root, table)

    def manifest(self, table: str) -> Manifest:
        """Read a table's manifest. Raises StepError where its pseudonyms were made with another key."""
        manifest = read_manifest(self.folder(table), table, str(CLEAN[table].partition))
        if manifest.pseudonym_key not in ("", self.fingerprint) and not self._full_refresh:
            raise StepError(
                f"The clean table {table} was made with another pseudonym key than the one given now.",
                "Give back the old key (var/secrets/pseudonym.key or QIANMIAN_PSEUDONYM_KEY). If it is lost, run "
                "both cleaning steps with --full-refresh: every user then gets another pseudonym.",
            )
        return manifest

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other cleanings out; the system lets go when the process ends, however it ends."""
        folder = self.root / "clean"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StepError(
                    f"Another cleaning of {self.root} is running.", "Wait until it has ended."
                ) from None
            yield

    def put_empty_tables(self, tables: Sequence[str]) -> None:
        """Give tables that nothing was written to yet an empty manifest: no rows, rather than no table."""
        for table in tables:
            if not (self.folder(table) / NAME).exists():
                commit(self.folder(table), Manifest(table, str(CLEAN[table].partition)))


def settle(
    spark: SparkSession,
    lake: Lake,
    feeds: Sequence[FeedWork],
    judged: Mapping[str, DataFrame],
    max_share: float,
    depends_on: Mapping[str, str],
    more_tables: Callable[[Mapping[str, DataFrame]], list[NewTable]],
) -> dict[str, FileVerdict]:
    """Judge the feeds' rows, refuse bad files, write what stands and commit it; return the files' verdicts.

    `more_tables` makes tables that follow from the judged rows. Order of commits: quarantine, those, then the
    feeds' own. A feed's manifest says which files are done, so after a kill in between the next run does them
    again, and all that they had written before is replaced. Raises StepError with nothing committed.
    """
    from pyspark.sql import functions as F  # noqa: N812

    from spark_jobs import store
    from spark_jobs.verdicts import judge, refuse_bad_files, warn_of_unasked_columns

    for rows in judged.values():
        rows.persist()
    files = judge(judged, lake.landing) if judged else {}
    refuse_bad_files(files.values(), judged, lake.landing, max_share)
    warn_of_unasked_columns(files.values())
    log.info("%d files judged, %d rows", len(files), sum(file.rows for file in files.values()))

    clean = {
        feed: rows.where(F.col("reason").isNull() & F.col("set_aside").isNull()) for feed, rows in judged.items()
    }
    tables = [_quarantine(spark, lake, feeds, judged), *more_tables(clean)]
    for one in feeds:
        touched = {
            partition
            for path, known in one.manifest.inputs.items()
            if path not in one.work.kept
            for partition in known["partitions"]
        }
        for file in one.work.read:
            touched |= files[file.path].partitions
        rows = clean.get(one.feed, store.no_rows(spark, one.feed)).select(*CLEAN[one.feed].column_names)
        if one.work.kept and touched & one.manifest.partitions.keys():
            standing = store.read_table(spark, one.folder, one.manifest, touched)
            rows = rows.unionByName(store.only_of(standing, one.work.kept))
        inputs = {**one.work.kept, **{file.path: _input(file, files[file.path]) for file in one.work.read}}
        tables.append(NewTable(one.manifest, touched, rows, inputs))

    commit_id = secrets.token_hex(8)
    written = {}
    for table in tables:
        name = table.manifest.table
        folder = lake.folder(name)
        written[name] = (folder, store.write_rows(table.rows, folder, name, commit_id))
        log.info("%s: %d partitions written", name, len(written[name][1]))
    described = store.describe(spark, written)
    _account(files.values(), described)
    for table in tables:
        name = table.manifest.table
        kept = {value: part for value, part in table.manifest.partitions.items() if value not in table.touched}
        partitions = dict(sorted({**kept, **described[name].partitions}.items()))
        inputs = dict(sorted(table.inputs.items()))
        commit(
            lake.folder(name),
            replace(
                table.manifest,
                partitions=partitions,
                inputs=inputs,
                depends_on=dict(depends_on),
                pseudonym_key=lake.fingerprint,
            ),
        )
    for rows in judged.values():
        rows.unpersist()
    return files


def _quarantine(
    spark: SparkSession, lake: Lake, feeds: Sequence[FeedWork], judged: Mapping[str, DataFrame]
) -> NewTable:
    """Make the quarantine's next state: these feeds' rejected rows, the standing ones of kept files."""
    from pyspark.sql import functions as F  # noqa: N812

    from spark_jobs import store
    from spark_jobs.reading.reader import FILE_SEEN

    columns = CLEAN["quarantine"].column_names
    manifest = lake.manifest("quarantine")
    touched = {one.feed for one in feeds}
    kept = {path for one in feeds for path in one.work.kept}
    rejected = [
        rows.where(F.col("reason").isNotNull() & (F.col("reason") != FILE_SEEN))
        .withColumn("feed", F.lit(feed))
        .select(*columns)
        for feed, rows in judged.items()
    ]
    if kept and touched & manifest.partitions.keys():
        standing = store.read_table(spark, lake.folder("quarantine"), manifest, touched)
        rejected.append(store.only_of(standing, kept).select(*columns))
    rows = reduce(lambda left, right: left.unionByName(right), rejected, store.no_rows(spark, "quarantine"))
    return NewTable(manifest, touched, rows)


def _input(file: Landed, verdict: FileVerdict) -> dict[str, Any]:
    """What the manifest keeps of an input file."""
    return {
        "sha256": file.sha256,
        "partitions": sorted(verdict.partitions),
        "counts": verdict.counts(),
        "arrived_through": file.day.isoformat() if file.day else verdict.arrived_through,
    }


def _account(files: Iterable[FileVerdict], described: Mapping[str, Written]) -> None:
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


def report(lake: Lake, feeds: Sequence[str], read: Mapping[str, FileVerdict]) -> dict[str, Any]:
    """Sum up the feeds' manifests, which tell of all files ever cleaned, log it as a table, and return it."""
    by_feed: dict[str, dict[str, Any]] = {}
    for feed in feeds:
        inputs = lake.manifest(feed).inputs.values()
        counts = [known["counts"] for known in inputs]
        by_feed[feed] = {
            "files": len(inputs),
            **{name: sum(one[name] for one in counts) for name in ("rows", "clean", "anonymised")},
            **{name: _sum_by_name(one[name] for one in counts) for name in ("quarantined", "set_aside")},
        }
    _log_table(by_feed)
    return {
        "files_read": len(read),
        "rows_read": sum(file.rows for file in read.values()),
        "rows": sum(one["rows"] for one in by_feed.values()),
        "rows_quarantined": sum(sum(one["quarantined"].values()) for one in by_feed.values()),
        "feeds": by_feed,
    }


def _sum_by_name(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _log_table(by_feed: Mapping[str, Mapping[str, Any]]) -> None:
    columns = ("files", "rows", "clean", "quarantined", "set_aside", "anonymised")
    lines = [f"{'feed':<18}" + "".join(f"{name:>13}" for name in columns) + "  reasons"]
    for feed, one in by_feed.items():
        reasons = {**one["quarantined"], **one["set_aside"]}
        figures = {**one, **{name: sum(one[name].values()) for name in ("quarantined", "set_aside")}}
        words = ", ".join(f"{name} {n}" for name, n in reasons.items())
        lines.append(f"{feed:<18}" + "".join(f"{figures[name]:>13}" for name in columns) + f"  {words}")
    log.info("All that was cleaned so far:\n%s", "\n".join(lines))

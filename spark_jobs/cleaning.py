"""The path that both halves of cleaning share: plan, judge, refuse, write aside, account for, commit."""

from __future__ import annotations

import argparse
import fcntl
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.tables import CLEAN, clean_dir, landing_dir
from qianmian.step import ShopBusyError, StepError, step_parser
from spark_jobs.landed import Landed, Work, read_landing
from spark_jobs.manifest import NAME, Manifest, columns_hash, commit, read_manifest
from spark_jobs.pseudonyms import Pseudonyms, read_key

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_jobs.verdicts import FileVerdict

log = logging.getLogger(__name__)


def cleaning_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a step that cleans."""
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
    parser.add_argument(
        "--spark-options",
        default="",
        help="more options for Spark, name=value with spaces between; they go before the step's own",
    )
    parser.add_argument("--full-refresh", action="store_true", help="clean everything again from landing")
    return parser


@dataclass
class FeedWork:
    """One feed on its way through a step: its manifest as it stood, and what of it is to be done."""

    feed: str
    folder: Path
    manifest: Manifest
    work: Work


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
                "cleaning with --full-refresh: every user then gets another pseudonym.",
            )
        return manifest

    def is_cleaned_anew(self, manifest: Manifest) -> bool:
        """Tell whether a table is made from all of its files again: asked for, or its columns are others now."""
        return self._full_refresh or manifest.columns_hash != columns_hash(manifest.table)

    def held(self) -> AbstractContextManager[None]:
        """Keep other cleanings out."""
        return clean_held(self.root)

    def put_empty_tables(self, tables: Sequence[str]) -> None:
        """Give tables that nothing was written to yet an empty manifest: no rows, rather than no table."""
        for table in tables:
            if not (self.folder(table) / NAME).exists():
                commit(self.folder(table), Manifest(table, str(CLEAN[table].partition)))


@contextmanager
def clean_held(lake: Path) -> Iterator[None]:
    """Hold a lake's clean tables; the system lets go when the process ends, however it ends.

    Raises ShopBusyError while another process holds them.
    """
    folder = lake / "clean"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShopBusyError(f"Another cleaning of {lake} is running.", "Wait until it has ended.") from None
        yield


@contextmanager
def session_for(feeds: Sequence[FeedWork], lake: Lake, args: argparse.Namespace) -> Iterator[SparkSession]:
    """Start Spark as the step's arguments say, its shuffles fit for what there is to read."""
    from spark_jobs.session import spark_session

    landed_bytes = sum(file.size for one in feeds for file in one.work.read)
    scratch = lake.root / "tmp" / "spark"
    settings = args.master, args.driver_memory, landed_bytes, args.spark_options
    with spark_session("qianmian cleaning", scratch, *settings) as spark:
        yield spark


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

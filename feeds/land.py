"""Bring a shop's feeds into the lake, byte for byte.

The source is a folder or an S3 prefix with one folder a feed (events, items, users, campaigns,
merchandising_rules, campaign_contacts, reviews, erasure_requests). A file is written aside, checked, and renamed
into place, and then recorded in landing/manifest.jsonl: an interrupted landing goes on where it stopped, and a
second one copies nothing. A file that changed at the source is landed again; one that vanished there stays.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from expectations.tables import FEEDS, REQUIRED_FEEDS, landing_dir
from feeds.landing_journal import Journal, LandedFile
from feeds.landing_sources import Source, SourceFile, open_source
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".csv.gz", ".jsonl.gz", ".ndjson.gz", ".json.gz")
COPIES_AT_ONCE = 4

SWITCHED_OFF = {
    "users": "consent is not asked for, nobody is 'unknown', and portraits lack registration and language",
    "campaigns": "nothing is recommended for campaigns",
    "merchandising_rules": "no rule of the shop blocks, pins or boosts anything",
    "campaign_contacts": "campaigns' effects are not measured",
    "reviews": "reviews' words are not used",
    "erasure_requests": "nobody is forgotten",
}


def is_landed(name: str) -> bool:
    """Tell whether a file's name is of a kind that lands."""
    return name.lower().endswith(SUFFIXES)


def select_files(source: Source) -> tuple[dict[str, SourceFile], dict[str, list[str]]]:
    """Choose what to land from what the source lists.

    Returns the files by landing path, and what is left where it is, by reason, for the log. Names that begin
    with `_` or `.` (markers, work in progress) are passed over in silence. Raises StepError for a path that
    would leave the landing zone, and where a required feed has no file.
    """
    chosen: dict[str, SourceFile] = {}
    left: dict[str, list[str]] = {"unknown folder": [], "unknown kind of file": []}
    for file in source.files():
        parts = file.path.split("/")
        if ".." in parts or "" in parts or "\\" in file.path or "\0" in file.path:
            raise StepError(
                f"The source has a file with an unsafe path: {file.path!r}.",
                "Rename it: a path may not hold '..', empty parts or backslashes.",
            )
        if any(part.startswith(("_", ".")) for part in parts):
            continue
        if len(parts) < 2 or parts[0] not in FEEDS:
            left["unknown folder"].append(parts[0])
        elif not is_landed(file.path):
            left["unknown kind of file"].append(file.path)
        else:
            chosen[file.path] = file
    feeds = {path.split("/")[0] for path in chosen}
    missing = [feed for feed in REQUIRED_FEEDS if feed not in feeds]
    if missing:
        raise StepError(
            f"The source has no file of the required feed {' and '.join(missing)}.",
            f"Put at least one file ({', '.join(SUFFIXES[:5])}) into the folder "
            f"{' and '.join(f'{feed}/' for feed in missing)} of the source; docs/feeds.md lists the columns.",
        )
    return dict(sorted(chosen.items())), left


def land(source: Source, landing: Path, run_id: str) -> dict[str, Any]:
    """Bring the source's new and changed files into `landing` and return the step's report.

    Raises StepError for an unreadable, unsafe or changing source; what was landed before that stays landed.
    """
    files, left = select_files(source)
    for reason, names in left.items():
        if names:
            shown = sorted(set(names))
            log.warning("Not landed, %s: %s", reason, ", ".join(shown[:20]) + (", ..." if shown[20:] else ""))
    feeds = {path.split("/")[0] for path in files}
    for feed, consequence in SWITCHED_OFF.items():
        if feed not in feeds:
            log.info("The feed %s is not there: %s.", feed, consequence)
    with only_landing(landing):
        journal = Journal(landing / "manifest.jsonl")
        new = [file for path, file in files.items() if not _has_landed(journal, landing, path, file)]
        log.info("%d files at the source, %d of them new or changed", len(files), len(new))
        landed = _copy_all(source, landing, journal, new, run_id)
    return {
        "files": len(files),
        "landed": len(landed),
        "landed_bytes": sum(file.size for file in landed),
        "landed_by_feed": dict(sorted(Counter(file.path.split("/")[0] for file in landed).items())),
        "missing_feeds": [feed for feed in FEEDS if feed not in feeds],
        "not_landed": {reason: sorted(set(names)) for reason, names in left.items() if names},
    }


def _has_landed(journal: Journal, landing: Path, path: str, file: SourceFile) -> bool:
    known = journal.files.get(path)
    if known is None or known.stamp != file.stamp:
        return False
    target = landing / path
    return known.emptied or (target.is_file() and target.stat().st_size == known.size)


def _copy_all(
    source: Source, landing: Path, journal: Journal, files: list[SourceFile], run_id: str
) -> list[LandedFile]:
    """Copy several files at once; each is journalled as soon as it stands, in the files' order."""
    incoming = landing / ".incoming"
    shutil.rmtree(incoming, ignore_errors=True)  # left by a killed landing
    incoming.mkdir(parents=True)
    landed: list[LandedFile] = []
    pool = ThreadPoolExecutor(COPIES_AT_ONCE)
    try:
        copies: list[Future[LandedFile]] = [
            pool.submit(_copy_one, source, landing, incoming / str(number), file, run_id)
            for number, file in enumerate(files)
        ]
        for copy in copies:
            landed.append(copy.result())
            journal.append(landed[-1])
            if len(landed) % 100 == 0:
                log.info("%d of %d files landed", len(landed), len(files))
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(incoming)
    return landed


def _copy_one(source: Source, landing: Path, aside: Path, file: SourceFile, run_id: str) -> LandedFile:
    """Copy one file aside, make it durable, put it in place and say what it is."""
    source.copy(file, aside)
    with aside.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        os.fsync(written.fileno())
    target = landing / PurePosixPath(file.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    size = aside.stat().st_size
    aside.replace(target)
    _sync_folder(target.parent)
    return LandedFile(file.path, size, sha256, file.stamp, run_id)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def only_landing(landing: Path) -> Iterator[None]:
    """Hold the landing zone's lock; the system lets go of it when the process ends, however it ends."""
    landing.mkdir(parents=True, exist_ok=True)
    with (landing / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepError(f"Another landing into {landing} is running.", "Wait until it has ended.") from None
        yield


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run the step."""
    return land(open_source(args.source, args.endpoint_url), landing_dir(args.lake), args.run_id)


if __name__ == "__main__":
    parser = step_parser(__doc__)
    parser.add_argument("--source", required=True, help="a folder, or s3://bucket/prefix")
    parser.add_argument("--endpoint-url", help="of an S3-compatible store; without it, AWS")
    run_step("land", main, parser)

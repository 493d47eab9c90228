"""Forgetting where the shop's own ids are: the landing zone, and feed files that an adapter of ours wrote.

Files of requests come last: as long as one of them stands, an interrupted forgetting knows whom it was about.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from expectations.tables import FEEDS, landing_dir, receipts_dir
from feeds.land import only_landing
from feeds.landing_journal import Journal, LandedFile
from feeds.landing_sources import local_stamp
from feeds.prepared_folder import SET_ASIDE
from privacy.feed_files import forget_in_file, is_emptied
from privacy.parquet_files import owners_by_any_id, rewrite_parquet
from privacy.receipts import Receipts
from privacy.rule import Rule, moment_of
from qianmian.step import StepError, write_atomically
from spark_jobs.landed import Landed
from spark_jobs.pseudonyms import Pseudonyms
from spark_jobs.reading.reader import FILE_SEEN, read_rows

log = logging.getLogger("qianmian")

REQUESTS = "erasure_requests"
_REQUEST_COLUMNS = [FEEDS[REQUESTS].column_names.index(name) for name in ("user_id", "requested_at")]


def find_requests(lake: Path, key: bytes, as_of: str) -> dict[str, datetime]:
    """Return the last request of each user in the files of requests up to a day, by pseudonym.

    A request whose time cannot be read is in quarantine and is not acted on.
    """
    landing = landing_dir(lake)
    pseudonyms = Pseudonyms(key)
    found: dict[str, datetime] = {}
    for file in Journal(landing / "manifest.jsonl").files.values():
        landed = Landed(file.path, file.size, file.sha256)
        if landed.feed != REQUESTS or file.emptied or not (landing / file.path).exists():
            continue
        if landed.day and landed.day.isoformat() > as_of:
            continue  # as a run of that day would: it is not there yet
        for row in read_rows(landing, landed, pseudonyms):
            if row.problem == FILE_SEEN and "what" in (seen := json.loads(row.raw)):
                raise StepError(f"{landing / file.path} {seen['what']}.", seen["remedy"])
            if row.values is None:
                continue
            user_id, spoken = (row.values[place] or "" for place in _REQUEST_COLUMNS)
            if user_id and (at := moment_of(spoken)) is not None:
                found[user_id] = max(at, found.get(user_id, at))
    return found


def forget_in_landing(lake: Path, feeds: Path | None, truth: Path | None, key: bytes, receipts: Receipts) -> int:
    """Rewrite landed files, and what an adapter wrote, without rows of forgotten users; return how many changed.

    A file is gone through once for the same receipts and the same content. What a killed landing or forgetting
    has left aside holds users as well: it goes.
    """
    landing = landing_dir(lake)
    rule = Rule({user_id: receipt.moment for user_id, receipt in receipts.all.items()}, key)
    with only_landing(landing):
        shutil.rmtree(landing / ".incoming", ignore_errors=True)
        for folder in filter(None, (landing, feeds, truth)):
            for left in folder.rglob(".*.tmp"):
                left.unlink()
        journal = Journal(landing / "manifest.jsonl")
        searched = _Searched(lake, rule)
        changed = 0
        for file in sorted(journal.files.values(), key=lambda one: (one.path.startswith(REQUESTS), one.path)):
            source = feeds / file.path if feeds and (feeds / file.path).exists() else None
            if not file.emptied and not searched.has(file.path, file.sha256):
                changed += _forget_in_landed(landing, source, file, journal, rule, receipts)
                searched.add(file.path, journal.files[file.path].sha256)
        for path in _others(feeds, journal):
            receipts.add("feeds", forget_in_file(path, path.parent.name, rule))
        for name, kept in (("feeds", set_aside_of(feeds)), ("truth", truth)):
            for path in sorted(kept.rglob("*.parquet")) if kept and kept.is_dir() else ():
                receipts.add(name, rewrite_parquet(path, owners_by_any_id(rule)))
        searched.save()
    return changed


def _forget_in_landed(
    landing: Path, source: Path | None, file: LandedFile, journal: Journal, rule: Rule, receipts: Receipts
) -> bool:
    path, feed = landing / file.path, file.path.split("/")[0]
    stamp = file.stamp
    if source is not None:
        if removed := forget_in_file(source, feed, rule):
            receipts.add("feeds", removed)
        stamp = local_stamp(source.stat())
    if not path.exists():
        removed, sha256, emptied = Counter[str](), file.sha256, True  # killed between deleting and writing it down
    else:
        removed = forget_in_file(path, feed, rule)
        emptied = is_emptied(path)
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    receipts.add("landing", removed)
    if (sha256, stamp, emptied) == (file.sha256, file.stamp, file.emptied):
        return False
    if emptied:
        path.unlink(missing_ok=True)
    size = 0 if emptied else path.stat().st_size
    journal.append(replace(file, size=size, sha256=sha256, stamp=stamp, emptied=emptied))
    if removed:
        log.info("%s: %d rows of forgotten users removed", file.path, removed.total())
    return sha256 != file.sha256 or emptied


def set_aside_of(feeds: Path | None) -> Path | None:
    """Return where an adapter keeps the rows that it makes no feed of, with the ids that the shop gives."""
    return feeds / SET_ASIDE if feeds else None


def _others(feeds: Path | None, journal: Journal) -> Iterator[Path]:
    """Yield an adapter's files that have not landed (they are of days to come)."""
    for path in sorted(feeds.rglob("*")) if feeds and feeds.is_dir() else ():
        relative = path.relative_to(feeds).as_posix() if feeds else ""
        if path.is_file() and relative.split("/")[0] in FEEDS and relative not in journal.files:
            yield path


class _Searched:
    """Which files were gone through for which receipts: they need not be again (`_searched.json`)."""

    def __init__(self, lake: Path, rule: Rule) -> None:
        whom = json.dumps({user_id: str(at) for user_id, at in sorted(rule.forgotten.items())})
        self._of = hashlib.sha256(whom.encode()).hexdigest()
        self._file = receipts_dir(lake) / "_searched.json"
        known = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._files: dict[str, str] = known.get("files", {}) if known.get("of") == self._of else {}

    def has(self, path: str, sha256: str) -> bool:
        """Tell whether a file with this content was gone through."""
        return self._files.get(path) == sha256

    def add(self, path: str, sha256: str) -> None:
        """Say that a file was gone through."""
        self._files[path] = sha256

    def save(self) -> None:
        """Keep it for the next run."""
        write_atomically(self._file, json.dumps({"of": self._of, "files": self._files}, sort_keys=True))

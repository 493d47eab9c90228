"""Forget users in the S3 target: all Parquet files that hold one of them, and what the manifests say of these.

Whom: those whose receipt is open. A file is brought down, rewritten and uploaded under its name, then its manifest
is written anew; a reader that holds the old manifest meanwhile finds another checksum, and reads it again. Files
that no manifest names (of an upload or a deletion that broke off) are gone through as well. In a bucket that keeps
versions, all earlier ones are deleted, also of files that were deleted before. A publisher that began before the
users went from the lake is waited for; later ones bring nobody back, and need not wait. Killed at any moment, run
it again: each time it looks at everything.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from privacy.lake_files import PARENT, owners_of, recommendations
from privacy.parquet_files import mentioned, rewrite_parquet
from privacy.receipts import Receipts
from privacy.rule import mentions
from privacy.s3_versions import Version, VersionedPrefix
from qianmian.step import run_step, step_parser
from warehouse.targets.s3_prefix import s3_held

log = logging.getLogger("qianmian")

#: Where the target's tables are. What else is under the prefix is another program's.
_FOLDERS = ("tables/", "runs/")


def forget_in_s3(args: argparse.Namespace) -> dict[str, Any]:
    """Rewrite what holds the users, and return the step's report.

    Raises:
        StepError: the place is none in S3, objects may not be deleted there, or a publisher does not end.
        botocore exceptions: the store is not there, or may not be written: trying again may help.

    """
    receipts = Receipts(args.lake)
    users = frozenset(receipts.open)
    if not users:
        return {"rows": 0, "objects": 0, "earlier_versions": 0}
    prefix = VersionedPrefix(args.to, args.endpoint_url)
    with s3_held(args.lake, args.to):
        pass  # who publishes until now may have opened a warehouse with the users; who begins later has not
    with tempfile.TemporaryDirectory() as folder:
        objects = _Objects(prefix, users, Path(folder))
        for name in prefix.keys("manifests/"):
            _forget_in_run(prefix, name, objects)
        for key in _parents_last(key for folder_ in _FOLDERS for key in prefix.keys(folder_)):
            objects.forget_in(key)
        receipts.add("s3", objects.removed)
        earlier = _delete_earlier_versions(prefix)
    return {"rows": objects.removed.total(), "objects": objects.changed, "earlier_versions": earlier}


def _is_parent(key: str) -> bool:
    return PARENT in Path(key).parts or Path(key).stem == PARENT


def _parents_last(keys: Iterable[str]) -> list[str]:
    """Put the files that say whose a recommendation is last: after a kill the others can still be told apart."""
    return sorted(keys, key=lambda key: (_is_parent(key), key))


class _Objects:
    """The objects of the target; each is gone through once."""

    def __init__(self, prefix: VersionedPrefix, users: frozenset[str], folder: Path) -> None:
        self._prefix, self._users, self._folder = prefix, users, folder
        self._seen: dict[str, tuple[int, str] | None] = {}
        self.removed: Counter[str] = Counter()
        self.changed = 0
        named: dict[str, str] = {}
        for key in filter(_is_parent, prefix.keys(_FOLDERS[0])):
            local = folder / PARENT / "object"
            if prefix.bring(Version(key), local):
                named |= recommendations([local], users)
        self._owners = owners_of(users, named)

    def forget_in(self, key: str) -> tuple[int, str] | None:
        """Rewrite a file where it holds a user; return its bytes and SHA-256, None where there is no table."""
        if key not in self._seen:
            self._seen[key] = self._forget_in(key)
        return self._seen[key]

    def _forget_in(self, key: str) -> tuple[int, str] | None:
        local = self._folder / "object"
        if not key.endswith(".parquet") or not self._prefix.bring(Version(key), local):
            return None
        if gone := rewrite_parquet(local, self._owners, self._users):
            self._prefix.upload(local, key)
            self.removed.update(gone)
            self.changed += 1
        with local.open("rb") as content:
            return local.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest()


def _forget_in_run(prefix: VersionedPrefix, name: str, objects: _Objects) -> None:
    """Rewrite one run's files, then its manifest where it says otherwise: now, or since an attempt was killed."""
    found = prefix.read(name)
    if found is None:
        return
    manifest, etag = found
    files = {file["key"]: file for file in manifest["files"]}
    stale = 0
    for key in _parents_last(files):
        now = objects.forget_in(key)
        if now and now != (files[key]["bytes"], files[key]["sha256"]):
            files[key]["bytes"], files[key]["sha256"] = now
            stale += 1
    if stale:
        prefix.put(manifest, name, replaces=etag)
        log.info("%s: %d files without forgotten users", name, stale)


def _delete_earlier_versions(prefix: VersionedPrefix) -> int:
    """Delete what the bucket has kept of the tables, and return how many that was.

    All of it, unread: nobody reads it, and an attempt before this one may have been killed just before.
    """
    earlier = [v for v in prefix.versions() if v.version_id and v.name.startswith(_FOLDERS)]
    for folder in _FOLDERS if earlier else ():
        prefix.delete_earlier_versions(folder)
    return len(earlier)


def mentioned_in_s3(url: str, endpoint_url: str, users: frozenset[str]) -> list[str]:
    """Return the objects that still hold one of these pseudonyms, their earlier versions too."""
    prefix = VersionedPrefix(url, endpoint_url)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "object"
        for version in prefix.versions():
            if prefix.bring(version, local) and _names_one(local, version.name, users):
                found.append(f"{prefix.url}/{version}")
    return found


def _names_one(local: Path, name: str, users: frozenset[str]) -> bool:
    if not name.endswith(".parquet"):
        return any(mentions(local.read_bytes().decode("latin-1"), users))
    with pq.ParquetFile(local) as file:
        return any(mentioned(file.read_row_group(n), users) for n in range(file.num_row_groups))


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--to", required=True, help="s3://bucket/prefix")
    parser.add_argument("--endpoint-url", default="", help="of an S3-compatible store (default: AWS)")
    run_step("forget_in_s3", forget_in_s3, parser, argv)


if __name__ == "__main__":
    main()

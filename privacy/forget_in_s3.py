"""Forget users in the S3 target: the Parquet files that hold one of them, and the checksums in the manifests.

Whom: those whose receipt is open. A file is brought down, rewritten and uploaded under its name, then its manifest
is written anew; a reader that holds the old manifest meanwhile finds another checksum, and reads it again. In a
bucket that keeps versions, the earlier versions of these files are deleted too.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from privacy.lake_files import PARENT, owners_of, recommendations
from privacy.parquet_files import mentioned, rewrite_parquet
from privacy.receipts import Receipts
from qianmian.step import run_step, step_parser
from warehouse.targets.s3 import Prefix

log = logging.getLogger("qianmian")


def forget_in_s3(args: argparse.Namespace) -> dict[str, Any]:
    """Rewrite what holds the users, and return the step's report.

    Raises:
        StepError: the place is none in S3.
        botocore exceptions: the store is not there, or may not be written: trying again may help.

    """
    receipts = Receipts(args.lake)
    users = frozenset(receipts.open)
    if not users:
        return {"rows": 0, "objects": 0}
    prefix = Prefix(args.to, args.endpoint_url)
    removed: Counter[str] = Counter()
    objects = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in prefix.keys("manifests/"):
            found = prefix.read(name)
            if found is not None:
                changed, gone = _forget_in_run(prefix, name, *found, users, Path(folder))
                objects += changed
                removed.update(gone)
        for key in prefix.keys("runs/"):
            objects += _forget_in_object(prefix, key, users, {}, Path(folder), removed)
    receipts.add("s3", removed)
    return {"rows": sum(removed.values()), "objects": objects}


def _forget_in_run(
    prefix: Prefix, name: str, manifest: dict[str, Any], etag: str, users: frozenset[str], folder: Path
) -> tuple[int, Counter[str]]:
    """Rewrite one run's files; those that say whose a recommendation is come last."""
    removed: Counter[str] = Counter()
    parents = [file for file in manifest["files"] if file["table"] == PARENT]
    named: dict[str, str] = {}
    for file in parents:
        named |= recommendations([prefix.download(file["key"], folder / PARENT / Path(file["key"]).name)], users)
    changed = []
    for file in sorted(manifest["files"], key=lambda file: file["table"] == PARENT):
        if _forget_in_object(prefix, file["key"], users, named, folder, removed):
            local = folder / Path(file["key"]).name
            file["bytes"] = local.stat().st_size
            file["sha256"] = hashlib.sha256(local.read_bytes()).hexdigest()
            changed.append(file["key"])
    # Also where nothing was changed now: an earlier attempt may have been killed before it wrote the manifest.
    stale = [file for file in manifest["files"] if prefix.size(file["key"]) != file["bytes"]]
    for file in stale:
        local = prefix.download(file["key"], folder / Path(file["key"]).name)
        file["bytes"] = local.stat().st_size
        file["sha256"] = hashlib.sha256(local.read_bytes()).hexdigest()
    if changed or stale:
        prefix.put(manifest, name, replaces=etag)
        log.info("%s: %d files without forgotten users", name, len(changed))
    return len(changed), removed


def _forget_in_object(
    prefix: Prefix, key: str, users: frozenset[str], named: dict[str, str], folder: Path, removed: Counter[str]
) -> bool:
    local = prefix.download(key, folder / Path(key).name)
    before = local.stat().st_ino
    removed.update(rewrite_parquet(local, owners_of(users, named), users))
    if local.stat().st_ino == before:
        return False
    prefix.upload(local, key)
    prefix.delete_earlier_versions(key)
    return True


def mentioned_in_s3(url: str, endpoint_url: str, users: frozenset[str]) -> list[str]:
    """Return the objects that still hold one of these pseudonyms."""
    prefix = Prefix(url, endpoint_url)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for key in prefix.keys(""):
            local = prefix.download(key, Path(folder) / "object")
            if key.endswith(".parquet"):
                with pq.ParquetFile(local) as file:
                    held = any(mentioned(file.read_row_group(n), users) for n in range(file.num_row_groups))
            else:
                held = any(user_id in local.read_text() for user_id in users)
            if held:
                found.append(f"{prefix.url}/{key}")
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--to", required=True, help="s3://bucket/prefix")
    parser.add_argument("--endpoint-url", default="", help="of an S3-compatible store (default: AWS)")
    run_step("forget_in_s3", forget_in_s3, parser, argv)


if __name__ == "__main__":
    main()

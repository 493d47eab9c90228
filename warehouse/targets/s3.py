"""Bring an S3 prefix up to what is published: Parquet by table and day, a manifest a publishing, one pointer.

    <prefix>/tables/<table>/as_of_date=<day>/<run>~<when>.parquet    never changed once it is there
    <prefix>/manifests/as_of_date=<day>/<run>~<when>.json            written last: files, bytes, SHA-256
    <prefix>/runs/pipeline_runs.parquet, refused_checks.parquet
    <prefix>/latest.json                                  shop, day, run, manifest; replaced in one request

`<when>` is when the run was published: published again under its id, it has files of its own. A reader takes
`latest.json`, the manifest it names, and the files that names: all of one publishing. One without a manifest is
not there yet. Killed at any moment, the pointer stays where it was; the next run uploads what is missing. What
another publishing of its day has replaced stays for one more after the pointer has left it.

What is deleted goes with its versions, where the bucket keeps any, and the manifest last: whatever breaks off, the
next run goes on. Files that no manifest names, left by an upload that nobody went on with, go after a day.

Credentials come from boto3's own chain.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import re
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from expectations.tables import PUBLISHED, history_stem
from qianmian.step import StepError, run_step, step_parser
from warehouse.history import history_file
from warehouse.runs import PipelineRun, standing_runs
from warehouse.targets.s3_prefix import Prefix, s3_held
from warehouse.targets.source import RUN_TABLES, Source, open_source, refuse_another_shops, shop_of

log = logging.getLogger("qianmian")

POINTER = "latest.json"
#: No upload of one run takes that long: what is older and has no manifest was left by one that broke off.
UPLOAD_ENDS_IN = timedelta(days=1)

_PLACE = re.compile(r"(?:tables/[^/]+|manifests)/(as_of_date=[^/]+/[^/]+?)(~\d{8}T\d{12})?\.(?:parquet|json)")


def publish(url: str, endpoint_url: str, lake: Path, warehouse: Path) -> dict[str, Any]:
    """Bring the prefix up to the warehouse in place.

    Returns:
        The runs that were uploaded, those whose files were deleted, and the run that the pointer names.

    Raises:
        StepError: the place or its credentials cannot be used, or it is another shop's.
        botocore exceptions: the store is not there: trying again may help.

    """
    from botocore.exceptions import ClientError

    prefix = Prefix(url, endpoint_url)
    # The warehouse is opened once the target is ours: forgetting may have changed both meanwhile.
    with s3_held(lake, url), open_source(warehouse) as source:
        try:
            return _bring(prefix, source, lake)
        except ClientError as error:
            code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in (401, 403, 404) or code == "NoSuchBucket":
                raise StepError(
                    f"{url} cannot be written: {code}.",
                    "Check the bucket's name and that the credentials may list, read, write and delete there.",
                ) from error
            raise


def _bring(prefix: Prefix, source: Source, lake: Path) -> dict[str, Any]:
    wanted = {_manifest_of(run): run for run in standing_runs(source.runs).values()}
    there = set(prefix.keys("manifests/"))
    before = prefix.read(POINTER)
    shop, theirs = shop_of(lake), before[0].get("shop", "") if before else ""
    refuse_another_shops(prefix.url, theirs, shop, "s3_target", f"delete {prefix.url}/{POINTER}")
    uploaded = []
    for name, run in wanted.items():
        if name in there:
            continue
        files = _files_of_earlier_release(prefix, run, there)
        if files is None:
            files = _upload(prefix, lake, run)
            if files is None:
                continue
            uploaded.append(run.run_id)
        prefix.put(
            {
                "as_of_date": str(run.as_of_date),
                "run_id": run.run_id,
                "published_at": run.published_at.isoformat() if run.published_at else "",
                "files": files,
            },
            name,
        )
    _upload_runs(prefix, source)
    latest = source.latest
    if latest is not None:
        pointer = {
            "shop": shop,
            "as_of_date": str(latest.as_of_date),
            "run_id": latest.run_id,
            "manifest": _manifest_of(latest),
        }
        if before is None:
            prefix.put(pointer, POINTER, IfNoneMatch="*")
        elif before[0] != pointer:
            # Another publisher that moved it meanwhile makes this fail: the next attempt sees what it did.
            prefix.put(pointer, POINTER, replaces=before[1])
    # What the pointer named when this began may still be being read.
    kept = {*wanted, before[0]["manifest"] if before else ""}
    superseded = sorted(there - kept)
    for name in superseded:
        _delete_run(prefix, name, kept)
    swept = _sweep(prefix)
    _delete_versions(prefix)
    log.info("%s: %d runs uploaded, latest is %s", prefix.url, len(uploaded), latest.run_id if latest else None)
    return {
        "uploaded": uploaded,
        "deleted": superseded,
        "swept": swept,
        "latest_run": latest.run_id if latest else None,
    }


def _manifest_of(run: PipelineRun, stem: str = "") -> str:
    return f"manifests/as_of_date={run.as_of_date}/{stem or history_stem(run.run_id, run.published_at)}.json"


def _files_of_earlier_release(prefix: Prefix, run: PipelineRun, there: set[str]) -> list[dict[str, Any]] | None:
    """Return the files of this very publishing where an earlier release has uploaded them.

    It named them and their manifest by the run alone, and took one that was published again for the same.
    """
    name = _manifest_of(run, history_stem(run.run_id, None))
    found = prefix.read(name) if name in there and run.published_at else None
    if found is None or not run.published_at or found[0]["published_at"] != run.published_at.isoformat():
        return None
    files: list[dict[str, Any]] = found[0]["files"]
    return files


def _delete_run(prefix: Prefix, name: str, kept: Iterable[str]) -> None:
    """Delete the files that a manifest names and no kept one of its day does, then the manifest."""
    found = prefix.read(name)
    if found is None:
        return
    of_this_day = [other for other in kept if Path(other).parent == Path(name).parent]
    read = [prefix.read(other) for other in of_this_day]
    needed = {file["key"] for manifest in read if manifest for file in manifest[0]["files"]}
    prefix.delete([file["key"] for file in found[0]["files"] if file["key"] not in needed])
    prefix.delete([name])


def _sweep(prefix: Prefix) -> int:
    """Delete files that no manifest names and nobody is still uploading, and return their number.

    By their names, not by reading every manifest: a file is called as its manifest, or, of an earlier release, by
    the run of it.
    """
    before = datetime.now(UTC) - UPLOAD_ENDS_IN
    found = {key: _PLACE.fullmatch(key) for key, at in prefix.written("tables/").items() if at < before}
    named = set()
    for name in prefix.keys("manifests/"):
        if place := _PLACE.fullmatch(name):
            named |= {place[1], place[1] + (place[2] or "")}
    left = [key for key, place in found.items() if place and place[1] + (place[2] or "") not in named]
    for key in left:
        log.info("no manifest names %s: it is deleted", key)
    prefix.delete(left)
    return len(left)


def _delete_versions(prefix: Prefix) -> None:
    """Delete what a bucket that keeps versions has kept of files that were deleted or written over."""
    from botocore.exceptions import ClientError

    try:
        for folder in ("tables/", "manifests/"):
            prefix.delete_earlier_versions(folder, only=_PLACE)
        for name in RUN_TABLES:
            prefix.delete_earlier_versions(f"runs/{name}.parquet")
    except ClientError as error:
        # A store without versions may not know the question; credentials need not be allowed to ask it.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (403, 405, 501):
            raise
        log.warning(
            "%s: earlier versions cannot be listed (%s). If the bucket keeps versions, they still hold what was "
            "deleted. WHAT TO DO: allow s3:ListBucketVersions and s3:DeleteObjectVersion there.",
            prefix.url,
            error.response["Error"]["Code"],
        )


def _upload(prefix: Prefix, lake: Path, run: PipelineRun) -> list[dict[str, Any]] | None:
    """Upload a run's tables and return what the manifest says of them; None where the lake has them no more."""
    files = []
    for table in PUBLISHED:
        file = history_file(lake, table, run)
        if not file.exists():
            # Tables that came with a later release than the run.
            log.warning("%s is not in the lake: it is not uploaded", file)
            continue
        key = f"tables/{table}/as_of_date={run.as_of_date}/{history_stem(run.run_id, run.published_at)}.parquet"
        prefix.upload(file, key)
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files.append({"table": table, "key": key, "bytes": file.stat().st_size, "sha256": digest})
        log.info("%s", key)
    return files or None


def _upload_runs(prefix: Prefix, source: Source) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in RUN_TABLES:
            file = Path(folder) / f"{name}.parquet"
            source.run_table(name).write_parquet(str(file), compression="zstd")
            prefix.upload(file, f"runs/{name}.parquet")


def _main(args: argparse.Namespace) -> dict[str, Any]:
    return publish(args.to, args.endpoint_url, args.lake, args.warehouse)


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file in place")
    parser.add_argument("--to", required=True, help="s3://bucket/prefix")
    parser.add_argument("--endpoint-url", default="", help="of an S3-compatible store (default: AWS)")
    run_step("publish_s3", _main, parser, argv)


if __name__ == "__main__":
    main()

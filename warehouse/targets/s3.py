"""Bring an S3 prefix up to what is published: Parquet by table and day, a manifest a run, a pointer to the latest.

    <prefix>/tables/<table>/as_of_date=<day>/<run>.parquet    never changed once it is there
    <prefix>/manifests/as_of_date=<day>/<run>.json            written last: files, bytes, SHA-256
    <prefix>/runs/pipeline_runs.parquet, refused_checks.parquet
    <prefix>/latest.json                                      day, run, manifest; replaced in one request

A reader takes `latest.json`, the manifest it names, and the files that names: all of one run. A run without a
manifest is not there yet. Killed at any moment, the pointer stays where it was; the next run uploads what is
missing. The files of a run that another of its day has replaced stay for one more publishing after the pointer has
left them.

Credentials come from boto3's own chain.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import tempfile
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from expectations.tables import PUBLISHED, run_dir
from qianmian.step import StepError, run_step, step_parser
from warehouse.history import history_file
from warehouse.runs import PipelineRun, standing_runs
from warehouse.targets.source import RUN_TABLES, Source, open_source

log = logging.getLogger("qianmian")

POINTER = "latest.json"
_AT_ONCE = 1000  # objects that one request may delete


class Prefix:
    """Objects under `s3://bucket/prefix`."""

    def __init__(self, url: str, endpoint_url: str = "") -> None:
        import boto3
        from botocore.config import Config

        parsed = urlparse(url)
        if parsed.scheme != "s3" or not parsed.netloc:
            raise StepError(f"{url!r} is no place in S3.", "Give s3://bucket/prefix.")
        self.url = url.rstrip("/")
        self._bucket = parsed.netloc
        self._prefix = f"{parsed.path.strip('/')}/" if parsed.path.strip("/") else ""
        self._client = boto3.Session().client(
            "s3", endpoint_url=endpoint_url or None, config=Config(retries={"max_attempts": 5, "mode": "standard"})
        )

    def keys(self, below: str) -> list[str]:
        """Return the names of the objects below a folder, relative to the prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + below
        )
        return [o["Key"].removeprefix(self._prefix) for page in pages for o in page.get("Contents", ())]

    def read(self, name: str) -> tuple[dict[str, Any], str] | None:
        """Return a JSON object and its ETag, None where there is none."""
        from botocore.exceptions import ClientError

        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        return json.loads(found["Body"].read()), found["ETag"]

    def upload(self, file: Path, name: str) -> None:
        """Copy a file there; the store checks its SHA-256, part by part."""
        self._client.upload_file(
            str(file), self._bucket, self._prefix + name, ExtraArgs={"ChecksumAlgorithm": "SHA256"}
        )

    def download(self, name: str, file: Path) -> Path:
        """Copy an object here and return where."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._client.download_file(self._bucket, self._prefix + name, str(file))
        return file

    def size(self, name: str) -> int:
        """Return an object's bytes."""
        return int(self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)["ContentLength"])

    def delete_earlier_versions(self, below: str) -> None:
        """Delete what a bucket that keeps versions has kept of the objects below a folder, or of one object.

        Of those that are there it is what was written over; of those that were deleted, all. Elsewhere there is
        nothing.
        """
        earlier, markers = [], []
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix + below
        )
        for page in pages:
            earlier += [_version(v) for v in page.get("Versions", ()) if not v["IsLatest"]]
            markers += [_version(marker) for marker in page.get("DeleteMarkers", ())]
        self._delete(earlier)
        # Last: without its marker an object whose versions are still there would be back.
        self._delete(markers)

    def put(self, content: dict[str, Any], name: str, replaces: str | None = None, **more: Any) -> None:
        """Write a JSON object in one request; with `replaces`, only in place of the object of that ETag."""
        condition = {"IfMatch": replaces} if replaces else {}
        body = json.dumps(content, indent=2, ensure_ascii=False).encode()
        self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + name, Body=body, ContentType="application/json",
            ChecksumAlgorithm="SHA256", **condition, **more,
        )  # fmt: skip

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there are fine. A bucket that keeps versions keeps theirs.

        Raises:
            StepError: some may not be deleted.
            RuntimeError: some were not: trying again may help.

        """
        self._delete([{"Key": self._prefix + name} for name in names])

    def _delete(self, objects: list[dict[str, str]]) -> None:
        for begin in range(0, len(objects), _AT_ONCE):
            some = {"Objects": objects[begin : begin + _AT_ONCE], "Quiet": True}
            # The answer is 200 even where not one of them was deleted.
            failed = self._client.delete_objects(Bucket=self._bucket, Delete=some).get("Errors", ())
            if failed:
                first = failed[0]
                said = f"{len(failed)} objects of {self.url} were not deleted: {first['Key']}: {first['Code']}."
                if first["Code"] == "AccessDenied":
                    raise StepError(
                        said,
                        "Let the credentials delete there (s3:DeleteObject; in a bucket that keeps versions "
                        "s3:DeleteObjectVersion too) and run this step again.",
                    )
                raise RuntimeError(said)


def _version(found: dict[str, Any]) -> dict[str, str]:
    return {"Key": found["Key"], "VersionId": found["VersionId"]}


def publish(url: str, endpoint_url: str, lake: Path, warehouse: Path) -> dict[str, Any]:
    """Bring the prefix up to the warehouse in place.

    Returns:
        The runs that were uploaded, those whose files were deleted, and the run that the pointer names.

    Raises:
        StepError: the place or its credentials cannot be used.
        botocore exceptions: the store is not there: trying again may help.

    """
    from botocore.exceptions import ClientError

    prefix = Prefix(url, endpoint_url)
    with open_source(warehouse) as source:
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


def manifest_name(day: date, run_id: str) -> str:
    """Return the place of a run's manifest."""
    return f"manifests/as_of_date={day}/{run_dir(Path(), run_id).name}.json"


def _bring(prefix: Prefix, source: Source, lake: Path) -> dict[str, Any]:
    standing = standing_runs(source.runs)
    wanted = {manifest_name(day, run.run_id): run for day, run in standing.items()}
    there = set(prefix.keys("manifests/"))
    before = prefix.read(POINTER)
    uploaded = []
    for name, run in wanted.items():
        if name not in there:
            files = _upload(prefix, lake, run)
            if files is None:
                continue
            prefix.put(
                {
                    "as_of_date": str(run.as_of_date),
                    "run_id": run.run_id,
                    "published_at": run.published_at.isoformat() if run.published_at else "",
                    "files": files,
                },
                name,
            )
            uploaded.append(run.run_id)
    _upload_runs(prefix, source)
    latest = source.latest
    if latest is not None:
        pointer = {
            "as_of_date": str(latest.as_of_date),
            "run_id": latest.run_id,
            "manifest": manifest_name(latest.as_of_date, latest.run_id),
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
        manifest = prefix.read(name)
        prefix.delete([name])
        prefix.delete([file["key"] for file in manifest[0]["files"]] if manifest else [])
    log.info("%s: %d runs uploaded, latest is %s", prefix.url, len(uploaded), latest.run_id if latest else None)
    return {
        "uploaded": uploaded,
        "deleted": superseded,
        "latest_run": latest.run_id if latest else None,
    }


def _upload(prefix: Prefix, lake: Path, run: PipelineRun) -> list[dict[str, Any]] | None:
    """Upload a run's tables and return what the manifest says of them; None where the lake has them no more."""
    files = []
    for table in PUBLISHED:
        file = history_file(lake, table, run.as_of_date, run.run_id)
        if not file.exists():
            # Tables that came with a later release than the run.
            log.warning("%s is not in the lake: it is not uploaded", file)
            continue
        key = f"tables/{table}/as_of_date={run.as_of_date}/{file.name}"
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
            source.connection.table(name).write_parquet(str(file), compression="zstd")
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

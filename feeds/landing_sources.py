"""Where a shop's feeds come from: a local folder, or a bucket of an S3-compatible store.

A source lists its files and copies one; it knows nothing of the lake.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from qianmian.step import StepError, is_disk_full

MIB = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file at the source. `stamp` changes whenever its content may have: mtime and size, or the ETag."""

    path: str
    size: int
    stamp: str


class Source(Protocol):
    """What landing needs of a source."""

    def files(self) -> Iterator[SourceFile]:
        """Every file below the source, by path relative to it with forward slashes."""
        ...

    def copy(self, file: SourceFile, target: Path) -> None:
        """Write the file's bytes to `target`, complete and the same as listed, or raise StepError."""
        ...


class LocalFolder:
    """Feeds in a folder of this machine (or mounted on it)."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise StepError(
                f"The source {folder} is not a folder.",
                "Point --source at the folder that holds one folder a feed (events/, items/, ...).",
            )
        self._folder = folder

    def files(self) -> Iterator[SourceFile]:
        """List the folder's files; links to folders are followed at the top level only."""
        for entry in sorted(self._folder.iterdir()):
            for folder, _, names in os.walk(entry) if entry.is_dir() else ():
                for name in names:
                    path = Path(folder, name)
                    # A link whose target is gone is listed with its own, and copying it says what is wrong.
                    stat = path.stat() if path.exists() else path.lstat()
                    relative = path.relative_to(self._folder).as_posix()
                    yield SourceFile(relative, stat.st_size, local_stamp(stat))

    def copy(self, file: SourceFile, target: Path) -> None:
        """Copy the file, and refuse it where it changed underneath."""
        path = self._folder / file.path
        try:
            shutil.copyfile(path, target)
            stat = path.stat()
        except OSError as error:
            if is_disk_full(error):
                raise
            raise StepError(
                f"{path} cannot be read: {error.strerror}.", "Give the file back or make it readable."
            ) from error
        if local_stamp(stat) != file.stamp:
            raise StepError(
                f"{path} changed while it was being copied.",
                "Run again once the shop has finished writing it; write files aside and rename them into place.",
            )
        if _sha256(path) != _sha256(target):
            raise StepError(
                f"The copy of {path} is not the same as the file.",
                "Run again; if it happens again, look at both disks' health.",
            )


class S3Prefix:
    """Feeds under `s3://bucket/prefix`; credentials come from boto3's own chain and from nowhere else."""

    def __init__(self, url: str, endpoint_url: str | None) -> None:
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config

        parsed = urlparse(url)
        self._url = url
        self._bucket = parsed.netloc
        prefix = parsed.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._transfer = TransferConfig(
            multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4
        )
        retrying = Config(retries={"max_attempts": 5, "mode": "standard"}, max_pool_connections=16)
        # A session of its own: the default one would remember credentials that the environment no longer has.
        self._client = boto3.Session().client("s3", endpoint_url=endpoint_url or None, config=retrying)

    def files(self) -> Iterator[SourceFile]:
        """List the prefix's objects."""
        with self._errors_for_people(self._url):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    if not entry["Key"].endswith("/"):  # a console's stand-in for an empty folder
                        etag = entry["ETag"].strip('"')
                        path = entry["Key"].removeprefix(self._prefix)
                        yield SourceFile(path, entry["Size"], f"etag={etag} size={entry['Size']}")

    def copy(self, file: SourceFile, target: Path) -> None:
        """Download in parts, all of the one version listed; check size, and ETag where it is a checksum."""
        key = self._prefix + file.path
        name = f"s3://{self._bucket}/{key}"
        with self._errors_for_people(name):
            self._client.download_file(self._bucket, key, str(target), Config=self._transfer)
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        etag = head["ETag"].strip('"')
        if f"etag={etag} size={head['ContentLength']}" != file.stamp:
            raise StepError(f"{name} changed while it was being landed.", "Run again once it is written.")
        expected = self._expected_md5(key, etag, head)
        if target.stat().st_size != file.size or (expected and expected[0] != _etag_of(target, expected[1])):
            raise StepError(
                f"{name} came through damaged: its size or checksum is not what the store says.", "Run again."
            )

    def _expected_md5(self, key: str, etag: str, head: dict[str, Any]) -> tuple[str, int | None] | None:
        """The ETag with the part size it was made with; None where the store's ETag is no checksum."""
        if head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head:
            return None
        digest, _, parts = etag.partition("-")
        if len(digest) != 32:
            return None
        if not parts:
            return etag, None
        first = self._client.head_object(Bucket=self._bucket, Key=key, PartNumber=1)
        # A store that ignores PartNumber answers with the whole object: then the part size is not known.
        if int(parts) > 1 and first["ContentLength"] == head["ContentLength"]:
            return None
        return etag, first["ContentLength"]

    @contextmanager
    def _errors_for_people(self, name: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

        try:
            yield
        except NoCredentialsError as error:
            raise StepError(
                f"There are no credentials to read {name}.",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE), or a role.",
            ) from error
        except EndpointConnectionError as error:
            raise StepError(
                f"{name} cannot be reached: {error}", "Check --endpoint-url and the network."
            ) from error
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
                raise  # the store's own trouble: trying again may help
            reason = error.response.get("Error", {})
            raise StepError(
                f"{name} cannot be read: {reason.get('Code')} {reason.get('Message', '')}".strip(),
                "Check the bucket's name, the prefix, and that the credentials may list and read it.",
            ) from error
        except BotoCoreError as error:
            raise StepError(f"{name} cannot be read: {error}", "Check the S3 settings and the network.") from error


def open_source(where: str, endpoint_url: str | None) -> Source:
    """Return the source that `where` names: `s3://bucket/prefix`, or a folder."""
    return S3Prefix(where, endpoint_url) if where.startswith("s3://") else LocalFolder(Path(where))


def local_stamp(stat: os.stat_result) -> str:
    """Return what a file of this machine is recognised by."""
    return f"mtime_ns={stat.st_mtime_ns} size={stat.st_size}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _etag_of(path: Path, part_size: int | None) -> str:
    """Compute S3's ETag: the MD5, or for an object uploaded in parts the MD5 of the parts' MD5s."""
    if part_size is None:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    digests = []
    with path.open("rb") as file:
        while part := file.read(part_size):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"

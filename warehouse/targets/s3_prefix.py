"""Objects under a prefix of an S3 bucket: what publishing and forgetting do with them."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from qianmian.step import StepError
from warehouse.one_at_a_time import one_at_a_time

_AT_ONCE = 1000  # objects that one request may delete


def s3_held(lake: Path, url: str) -> AbstractContextManager[None]:
    """Hold a shop's S3 target, of which it has one: `url` is told to who waits in vain.

    Raises:
        ShopBusyError: another step does not let go of it.

    """
    return one_at_a_time(lake / ".s3_target.lock", url)


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
        return list(self.written(below))

    def written(self, below: str) -> dict[str, datetime]:
        """Return when each object below a folder was written last."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + below
        )
        return {
            o["Key"].removeprefix(self._prefix): o["LastModified"]
            for page in pages
            for o in page.get("Contents", ())
        }

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

    def delete_earlier_versions(self, below: str, only: re.Pattern[str] | None = None) -> None:
        """Delete what a bucket that keeps versions has kept of the objects below a folder, or of one object.

        Of those that are there it is what was written over; of those that were deleted, all. Elsewhere there is
        nothing. With `only`, of objects of such names.
        """

        def ours(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [v for v in found if not only or only.fullmatch(v["Key"].removeprefix(self._prefix))]

        earlier, markers = [], []
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix + below
        )
        for page in pages:
            earlier += [_version(v) for v in ours(page.get("Versions", [])) if not v["IsLatest"]]
            markers += [_version(marker) for marker in ours(page.get("DeleteMarkers", []))]
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

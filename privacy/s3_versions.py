"""The S3 target with what a bucket that keeps versions has kept of its objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from warehouse.targets.s3_prefix import Prefix


@dataclass(frozen=True)
class Version:
    """One state of an object; `version_id` is empty for the one that a reader gets."""

    name: str
    version_id: str = ""

    def __str__(self) -> str:
        """Name it."""
        return f"{self.name} (version {self.version_id})" if self.version_id else self.name


class VersionedPrefix(Prefix):
    """Objects under `s3://bucket/prefix`, and their earlier versions."""

    def versions(self) -> list[Version]:
        """Return every state of every object: what was written over and what was deleted too."""
        from botocore.exceptions import ClientError

        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        try:
            found = [version for page in pages for version in page.get("Versions", ())]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (405, 501):
                raise
            return [Version(name) for name in self.keys("")]  # the store knows no versions
        return [
            Version(v["Key"].removeprefix(self._prefix), "" if v["IsLatest"] else v["VersionId"]) for v in found
        ]

    def bring(self, version: Version, file: Path) -> bool:
        """Copy an object in one of its states here; tell whether it was still there."""
        from botocore.exceptions import ClientError

        which = {"VersionId": version.version_id} if version.version_id else {}
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._client.download_file(self._bucket, self._prefix + version.name, str(file), ExtraArgs=which)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return True

"""Forgetting in a real S3-compatible server: what a kill, a deletion, a broken upload has left there goes too."""

from __future__ import annotations

import argparse
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from privacy.forget_in_s3 import forget_in_s3, mentioned_in_s3
from privacy.lake_files import forget_in_lake, forget_in_warehouse
from privacy.receipts import Receipts
from qianmian.step import StepError
from tests.candidate_tables import (
    GENERATED_AT,
    candidate_tables,
    check_result,
    write_candidates,
    write_check_results,
)
from warehouse.publish import publish
from warehouse.targets import s3
from warehouse.targets.s3_prefix import s3_held

THEIRS = "0123456789abcdef0123456789abcdef"
USERS = frozenset([THEIRS])
KILLED_BEFORE_DELETING = """
import os, signal, sys
from privacy import forget_in_s3
from privacy.s3_versions import VersionedPrefix
VersionedPrefix.delete_earlier_versions = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
forget_in_s3.main(sys.argv[1:])
"""


class Target:
    """A bucket with two published days; one of their users asked to be forgotten."""

    def __init__(self, bucket: str, endpoint: str, folder: Path, *, versioned: bool) -> None:
        import boto3

        self.bucket, self.endpoint, self.lake = bucket, endpoint, folder / "lake"
        self.warehouse = folder / "warehouse.duckdb"
        self.url = f"s3://{bucket}/shop"
        self.client = boto3.Session().client("s3", endpoint_url=endpoint)
        self.client.create_bucket(Bucket=bucket)
        if versioned:
            self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for number, day in enumerate(("2026-10-30", "2026-10-31")):
            self.publish_day(day, f"run-{number}", number)
        Receipts(self.lake).ask(THEIRS, datetime(2026, 10, 31, 12, tzinfo=UTC), "test")

    def publish_day(self, day: str, run_id: str, number: int) -> None:
        tables = candidate_tables(day, run_id)
        asked = tables["user_portraits"][0]["user_id"]
        write_candidates(
            self.lake,
            {
                name: [{k: THEIRS if v == asked else v for k, v in row.items()} for row in rows]
                for name, rows in tables.items()
            },
        )
        write_check_results(self.lake, day, run_id, [check_result()])
        started = GENERATED_AT + timedelta(hours=number)
        publish(self.lake, day, run_id, self.warehouse, started, "c" * 64)
        s3.publish(self.url, self.endpoint, self.lake, self.warehouse)

    def args(self) -> argparse.Namespace:
        return argparse.Namespace(lake=self.lake, to=self.url, endpoint_url=self.endpoint)

    def table(self, name: str) -> str:
        """Return the name of an object of this table."""
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"shop/tables/{name}/")
        return str(listed["Contents"][0]["Key"])

    def mentions(self) -> list[str]:
        """Search every version of every object: a search of its own."""
        found = []
        for version in self.client.list_object_versions(Bucket=self.bucket).get("Versions", ()):
            key, which = version["Key"], version["VersionId"]
            body = self.client.get_object(Bucket=self.bucket, Key=key, VersionId=which)["Body"].read()
            if key.endswith(".parquet"):
                body = str(pq.read_table(io.BytesIO(body)).to_pylist()).encode()
            if THEIRS.encode() in body:
                found.append(key)
        return found


def targets(bucket: str, endpoint: str, folder: Path, *, versioned: bool) -> Iterator[Target]:
    import boto3

    made = Target(bucket, endpoint, folder, versioned=versioned)
    yield made
    there = boto3.resource("s3", endpoint_url=endpoint).Bucket(bucket)
    made.client.delete_bucket_policy(Bucket=bucket)
    there.object_versions.delete()
    there.delete()


@pytest.fixture
def target(s3_endpoint: str, s3_credentials: None, tmp_path: Path) -> Iterator[Target]:
    """A bucket that keeps versions."""
    yield from targets("forgets-versions", s3_endpoint, tmp_path, versioned=True)


@pytest.fixture
def plain_target(s3_endpoint: str, s3_credentials: None, tmp_path: Path) -> Iterator[Target]:
    """A bucket that keeps none."""
    yield from targets("forgets-objects", s3_endpoint, tmp_path, versioned=False)


def test_killed_before_it_deleted_earlier_versions_the_next_attempt_does(target: Target) -> None:
    killed = subprocess.run(
        [
            *(sys.executable, "-c", KILLED_BEFORE_DELETING, f"--lake={target.lake}", "--as-of=2026-10-31"),
            *(f"--to={target.url}", f"--endpoint-url={target.endpoint}"),
        ],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    left = target.mentions()
    assert left
    assert len(mentioned_in_s3(target.url, target.endpoint, USERS)) == len(left)
    assert forget_in_s3(target.args())["objects"] == 0
    assert target.mentions() == []
    assert mentioned_in_s3(target.url, target.endpoint, USERS) == []


def test_versions_of_deleted_objects_go(target: Target) -> None:
    deleted = target.table("user_portraits")
    target.client.delete_object(Bucket=target.bucket, Key=deleted)
    assert any(
        f"{deleted.removeprefix('shop/')} (version " in place
        for place in mentioned_in_s3(target.url, target.endpoint, USERS)
    )
    assert forget_in_s3(target.args())["earlier_versions"] > 0
    assert target.mentions() == []
    # Another program's objects are searched as well, whatever they are.
    target.client.put_object(Bucket=target.bucket, Key="shop/photo.jpg", Body=b"\xff\xd8\xe9" + THEIRS.encode())
    assert mentioned_in_s3(target.url, target.endpoint, USERS) == [f"{target.url}/photo.jpg"]


def test_what_no_manifest_names_is_gone_through_and_the_rest_holds_together(plain_target: Target) -> None:
    target = plain_target
    for table in ("user_portraits", "recommendation_explanations", "home_recommendations"):
        source = {"Bucket": target.bucket, "Key": target.table(table)}
        orphan = f"shop/tables/{table}/as_of_date=2026-10-01/left.parquet"
        target.client.copy_object(Bucket=target.bucket, Key=orphan, CopySource=source)
    done = forget_in_s3(target.args())
    assert done["objects"] > 6
    assert done["earlier_versions"] == 0
    assert target.mentions() == []
    assert mentioned_in_s3(target.url, target.endpoint, USERS) == []
    assert Receipts(target.lake).all[THEIRS].removed["s3"] == done["rows"]

    def rows(key: str) -> Any:
        return pq.read_table(io.BytesIO(target.client.get_object(Bucket=target.bucket, Key=key)["Body"].read()))

    parts = "as_of_date=2026-10-01/left.parquet"
    named = set(rows(f"shop/tables/home_recommendations/{parts}")["recommendation_id"].to_pylist())
    explained = rows(f"shop/tables/recommendation_explanations/{parts}")["recommendation_id"].to_pylist()
    assert named
    assert set(explained) <= named
    assert forget_in_s3(target.args()) == {"rows": 0, "objects": 0, "earlier_versions": 0}


def test_a_publisher_that_is_late_brings_nobody_back(target: Target) -> None:
    """It waits for forgetting, and opens the warehouse, without them by then, when its turn has come."""
    target.url += "-again"
    with ThreadPoolExecutor(1) as pool:
        with s3_held(target.lake, target.url):
            late = pool.submit(s3.publish, target.url, target.endpoint, target.lake, target.warehouse)
            with pytest.raises(TimeoutError):
                late.result(timeout=1)
            forget_in_lake(target.lake, Receipts(target.lake), USERS, None)
            forget_in_warehouse(target.lake, target.warehouse, USERS)
        assert late.result()["latest_run"] == "run-1"
    assert mentioned_in_s3(target.url, target.endpoint, USERS) == []


def test_forgetting_waits_for_a_publisher(target: Target) -> None:
    with ThreadPoolExecutor(1) as pool:
        with s3_held(target.lake, target.url):
            forgetting = pool.submit(forget_in_s3, target.args())
            with pytest.raises(TimeoutError):
                forgetting.result(timeout=1)
            assert target.mentions()
        assert forgetting.result()["objects"] > 0
    assert target.mentions() == []


def test_versions_that_may_not_be_deleted_are_no_success(target: Target) -> None:
    """The store answers 200 and says of each object that it was not deleted."""
    denied = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:DeleteObject",
                "Resource": f"arn:aws:s3:::{target.bucket}/*",
            }
        ],
    }
    target.client.put_bucket_policy(Bucket=target.bucket, Policy=json.dumps(denied))
    with pytest.raises(StepError, match=r"were not deleted: shop/.*AccessDenied"):
        forget_in_s3(target.args())
    assert Receipts(target.lake).open == [THEIRS]

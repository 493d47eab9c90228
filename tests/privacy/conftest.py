"""One PostgreSQL, one S3-compatible server for the tests of forgetting."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.postgres_server import postgres_server
from tests.privacy.shop import PublishedShop
from tests.spark_jobs.small_shop import KEY

PASSWORD = "for-tests-only"


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server's own database."""
    with (
        postgres_server(tmp_path_factory.mktemp("postgres"), PASSWORD) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PGPASSWORD", PASSWORD)
        at = f"host=127.0.0.1 port={running.port} user=airflow"
        admin = psycopg2.connect(f"{at} dbname=postgres")
        admin.autocommit = True
        name = f"t{time.monotonic_ns()}"
        with admin.cursor() as cursor:
            cursor.execute(f"create database {name}")
        admin.close()
        yield f"{at} dbname={name}"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Path:
    """The folder of a shop of two published days; no test works in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
        made = PublishedShop(tmp_path_factory.mktemp("shop"))
        made.hand_over()
        made.clean()
        made.publish_days()
    return made.folder


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: Path) -> PublishedShop:
    """A shop of two published days."""
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return PublishedShop(tmp_path)


@pytest.fixture
def shop_with_targets(
    shop: PublishedShop, address: str, s3_endpoint: str, s3_credentials: None
) -> Iterator[PublishedShop]:
    """The same, with PostgreSQL and a bucket that keeps versions."""
    import boto3

    client = boto3.Session().client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket="tables-with-versions")
    client.put_bucket_versioning(Bucket="tables-with-versions", VersioningConfiguration={"Status": "Enabled"})
    shop.address, shop.endpoint = address, s3_endpoint
    shop.publish_targets()
    yield shop
    bucket = boto3.resource("s3", endpoint_url=s3_endpoint).Bucket("tables-with-versions")
    bucket.object_versions.delete()
    bucket.delete()

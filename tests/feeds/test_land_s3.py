"""Landing from S3, against a real server on the loopback address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feeds.land import land
from feeds.landing_sources import open_source
from qianmian.step import StepError


@pytest.fixture
def bucket(s3_endpoint: str, s3_credentials: None) -> Iterator[Any]:
    import boto3

    bucket = boto3.Session().resource("s3", endpoint_url=s3_endpoint).Bucket("shop")
    bucket.create()
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


def put(bucket: Any, key: str, content: bytes) -> None:
    bucket.put_object(Key=key, Body=content)


def test_objects_land_once_whole_and_again_when_changed(bucket: Any, s3_endpoint: str, tmp_path: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    big = os.urandom(20 << 20)
    source_file = tmp_path / "big"
    source_file.write_bytes(big)
    parts = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    bucket.upload_file(str(source_file), "feeds/events/2026-10-31.csv", Config=parts)
    put(bucket, "feeds/items/2026-10-31.csv", b"item_id,title\n")
    put(bucket, "feeds/items/", b"")
    put(bucket, "feeds/_done", b"")
    put(bucket, "feeds2/items/other.csv", b"another prefix")
    assert "-3" in bucket.Object("feeds/events/2026-10-31.csv").e_tag, "uploaded in three parts"

    landing = tmp_path / "landing"
    source = open_source("s3://shop/feeds", s3_endpoint)
    assert land(source, landing, "run 1")["landed_by_feed"] == {"events": 1, "items": 1}
    assert (landing / "events/2026-10-31.csv").read_bytes() == big
    assert land(source, landing, "run 2")["landed"] == 0

    put(bucket, "feeds/items/2026-10-31.csv", b"item_id,title\ni1,One\n")
    bucket.Object("feeds/events/2026-10-31.csv").delete()
    put(bucket, "feeds/events/2026-11-01.csv", b"event_id\n")
    assert land(source, landing, "run 3")["landed"] == 2
    assert (landing / "items/2026-10-31.csv").read_bytes() == b"item_id,title\ni1,One\n"
    assert (landing / "events/2026-10-31.csv").read_bytes() == big


def test_an_object_that_changes_underneath_is_refused(bucket: Any, s3_endpoint: str, tmp_path: Path) -> None:
    put(bucket, "items/2026-10-31.csv", b"one")
    source = open_source("s3://shop", s3_endpoint)
    (listed,) = source.files()
    put(bucket, "items/2026-10-31.csv", b"two")
    with pytest.raises(StepError, match="changed while it was being landed"):
        source.copy(listed, tmp_path / "copy")


def test_what_is_not_there_says_what_to_do(
    bucket: Any, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StepError, match="no file of the required feed events and items"):
        land(open_source("s3://shop/nothing", s3_endpoint), tmp_path / "landing", "run")
    with pytest.raises(StepError, match="NoSuchBucket") as refused:
        land(open_source("s3://no-such-shop", s3_endpoint), tmp_path / "landing", "run")
    assert "bucket's name" in refused.value.remedy
    with pytest.raises(StepError, match="cannot be reached"):
        land(open_source("s3://shop", "http://127.0.0.1:9"), tmp_path / "landing", "run")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StepError, match="no credentials"):
        land(open_source("s3://shop", s3_endpoint), tmp_path / "landing", "run")

"""The S3 target, against a real server on the loopback address."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expectations.tables import PIPELINE_RUNS, PUBLISHED
from qianmian.step import StepError
from tests.warehouse.earlier_release import as_before_ended_at
from warehouse.targets import s3

RunDay = Callable[..., dict[str, Any]]


@pytest.fixture
def client(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    made = boto3.Session().client("s3", endpoint_url=s3_endpoint)
    made.create_bucket(Bucket="bi-tables")
    yield made
    for entry in made.list_objects_v2(Bucket="bi-tables").get("Contents", ()):
        made.delete_object(Bucket="bi-tables", Key=entry["Key"])
    made.delete_bucket(Bucket="bi-tables")


@pytest.fixture
def publish(s3_endpoint: str, client: Any, lake: Path, warehouse: Path) -> Callable[[], dict[str, Any]]:
    return lambda: s3.publish("s3://bi-tables/shop/", s3_endpoint, lake, warehouse)


def read(client: Any, key: str) -> Any:
    return json.loads(client.get_object(Bucket="bi-tables", Key=f"shop/{key}")["Body"].read())


def rows_of_latest(client: Any, table: str) -> list[dict[str, Any]]:
    """Read a table as the module's text tells a reader to."""
    manifest = read(client, read(client, "latest.json")["manifest"])
    [file] = [file for file in manifest["files"] if file["table"] == table]
    body = client.get_object(Bucket="bi-tables", Key=f"shop/{file['key']}")["Body"].read()
    assert len(body) == file["bytes"]
    return pq.read_table(io.BytesIO(body)).to_pylist()


def keys(client: Any) -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket="bi-tables").get("Contents", ())]


def test_a_reader_finds_the_latest_set(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any
) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2", users=4)
    assert publish() == {"uploaded": ["r1", "r2"], "deleted": [], "latest_run": "r2"}
    assert len(rows_of_latest(client, "user_portraits")) == 4
    assert {row["run_id"] for row in rows_of_latest(client, "home_recommendations")} == {"r2"}
    day_before = read(client, "manifests/as_of_date=2026-10-31/r1.json")
    assert sorted(file["table"] for file in day_before["files"]) == sorted(PUBLISHED)
    body = client.get_object(Bucket="bi-tables", Key="shop/runs/pipeline_runs.parquet")["Body"].read()
    assert pq.read_table(io.BytesIO(body))["run_id"].to_pylist() == ["r1", "r2"]


def test_the_same_again_uploads_nothing_and_a_past_day_leaves_the_pointer(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    assert publish()["uploaded"] == []
    run_day("2026-10-30", "r0")
    assert publish()["uploaded"] == ["r0"]
    assert read(client, "latest.json")["run_id"] == "r1"


def test_a_replaced_run_stays_for_one_publishing(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-10-31", "r2")
    assert publish()["deleted"] == []
    assert any("/r1.parquet" in key for key in keys(client))
    assert publish()["deleted"] == ["manifests/as_of_date=2026-10-31/r1.json"]
    assert not any("/r1." in key for key in keys(client))
    assert rows_of_latest(client, "user_portraits")[0]["run_id"] == "r2"


def test_an_upload_that_broke_off_is_not_seen_and_goes_on(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-11-01", "r2")
    upload, done = s3.Prefix.upload, []

    def breaks(self: s3.Prefix, file: Path, name: str) -> None:
        if len(done) == 3:
            raise ConnectionError("the network went")
        done.append(name)
        upload(self, file, name)

    with monkeypatch.context() as broken:
        broken.setattr(s3.Prefix, "upload", breaks)
        with pytest.raises(ConnectionError):
            publish()
    assert len(done) == 3
    assert read(client, "latest.json")["run_id"] == "r1"
    assert publish()["uploaded"] == ["r2"]
    assert read(client, "latest.json")["run_id"] == "r2"


def test_a_pointer_moved_by_somebody_else_is_not_overwritten(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-11-01", "r2")
    put = s3.Prefix.put

    def late(self: s3.Prefix, content: dict[str, Any], name: str, **more: Any) -> None:
        if name == s3.POINTER:
            put(self, {"as_of_date": "2026-11-02", "run_id": "theirs", "manifest": "x"}, name)
        put(self, content, name, **more)

    monkeypatch.setattr(s3.Prefix, "put", late)
    with pytest.raises(Exception, match="PreconditionFailed"):
        publish()
    assert read(client, "latest.json")["run_id"] == "theirs"


def test_the_warehouse_of_an_earlier_release_is_uploaded_with_todays_columns(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    as_before_ended_at(warehouse)
    assert publish()["uploaded"] == ["r1"]
    body = client.get_object(Bucket="bi-tables", Key="shop/runs/pipeline_runs.parquet")["Body"].read()
    [run] = pq.read_table(io.BytesIO(body)).to_pylist()
    assert tuple(run) == PIPELINE_RUNS.column_names
    assert run["ended_at"] == run["published_at"]


@pytest.mark.parametrize("url", ["http://bi/shop", "s3://", "bi/shop"])
def test_no_place_in_s3_is_refused(url: str) -> None:
    with pytest.raises(StepError, match="no place in S3"):
        s3.Prefix(url)


def test_a_bucket_that_is_not_there_is_named(
    run_day: RunDay, s3_endpoint: str, client: Any, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    with pytest.raises(StepError, match="NoSuchBucket"):
        s3.publish("s3://another/shop", s3_endpoint, lake, warehouse)

"""The S3 target, against a real server on the loopback address."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expectations.tables import PIPELINE_RUNS, PUBLISHED
from privacy.apply_retention import expire_history
from qianmian.step import StepError
from tests.warehouse.earlier_release import as_before_ended_at
from warehouse.targets import s3

RunDay = Callable[..., dict[str, Any]]
KILLS = int(os.environ.get("QIANMIAN_KILLS", "6"))


@pytest.fixture
def client(s3_endpoint: str, s3_credentials: None) -> Any:
    import boto3

    made = boto3.Session().client("s3", endpoint_url=s3_endpoint)
    made.create_bucket(Bucket="bi-tables")
    yield made
    made.delete_bucket_policy(Bucket="bi-tables")
    bucket = boto3.resource("s3", endpoint_url=s3_endpoint).Bucket("bi-tables")
    bucket.object_versions.delete()
    bucket.delete()


@pytest.fixture
def with_versions(client: Any) -> None:
    client.put_bucket_versioning(Bucket="bi-tables", VersioningConfiguration={"Status": "Enabled"})


@pytest.fixture
def publish(s3_endpoint: str, client: Any, lake: Path, warehouse: Path) -> Callable[[], dict[str, Any]]:
    return lambda: s3.publish("s3://bi-tables/shop/", s3_endpoint, lake, warehouse)


def whole_latest(client: Any) -> str:
    """Return the run that the pointer names, whose files are all there as the manifest says."""
    pointer = read(client, "latest.json")
    manifest = read(client, pointer["manifest"])
    assert manifest["run_id"] == pointer["run_id"]
    assert {file["table"] for file in manifest["files"]} == PUBLISHED.keys()
    for file in manifest["files"]:
        body = client.get_object(Bucket="bi-tables", Key=f"shop/{file['key']}")["Body"].read()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["bytes"], file["sha256"])
    return str(manifest["run_id"])


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
    assert publish() == {"uploaded": ["r1", "r2"], "deleted": [], "swept": 0, "latest_run": "r2"}
    assert len(rows_of_latest(client, "user_portraits")) == 4
    assert {row["run_id"] for row in rows_of_latest(client, "home_recommendations")} == {"r2"}
    [first] = [key for key in keys(client) if key.startswith("shop/manifests/as_of_date=2026-10-31/")]
    day_before = read(client, first.removeprefix("shop/"))
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
    assert any("/r1~" in key for key in keys(client))
    [deleted] = publish()["deleted"]
    assert deleted.startswith("manifests/as_of_date=2026-10-31/r1~")
    assert not any("/r1~" in key for key in keys(client))
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


def versions(client: Any) -> list[str]:
    """Return every version of every table's file, and what marks a deleted one."""
    found = client.list_object_versions(Bucket="bi-tables", Prefix="shop/tables/")
    return [v["Key"] for v in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]


def test_a_run_published_again_under_its_id_is_uploaded_again(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    first = {key for key in keys(client) if "/tables/" in key}
    run_day("2026-10-31", "r1", users=5)
    assert publish()["uploaded"] == ["r1"]
    assert len(rows_of_latest(client, "user_portraits")) == 5
    assert first < set(keys(client))
    publish()
    assert not first & set(keys(client))
    assert len(rows_of_latest(client, "user_portraits")) == 5


def as_earlier_releases_named_it(client: Any) -> None:
    """Name files and manifests by their run alone, as the pointer does."""

    def plain(name: str) -> str:
        return re.sub(r"~\d{8}T\d{12}", "", name)

    for key in keys(client):
        if "~" in key:
            if "/manifests/" in key:
                manifest = read(client, key.removeprefix("shop/"))
                files = [{**file, "key": plain(file["key"])} for file in manifest["files"]]
                client.put_object(
                    Bucket="bi-tables", Key=plain(key), Body=json.dumps({**manifest, "files": files})
                )
            else:
                client.copy_object(
                    Bucket="bi-tables", Key=plain(key), CopySource={"Bucket": "bi-tables", "Key": key}
                )
            client.delete_object(Bucket="bi-tables", Key=key)
    pointer = read(client, "latest.json")
    pointer["manifest"] = plain(pointer["manifest"])
    client.put_object(Bucket="bi-tables", Key="shop/latest.json", Body=json.dumps(pointer))


def test_what_an_earlier_release_uploaded_is_taken_over(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "UPLOAD_ENDS_IN", timedelta(0))
    run_day("2026-10-30", "r0")
    run_day("2026-10-31", "r1")
    publish()
    as_earlier_releases_named_it(client)
    tables = [key for key in keys(client) if "/tables/" in key]
    assert publish()["uploaded"] == []
    assert publish()["deleted"] == ["manifests/as_of_date=2026-10-31/r1.json"]
    assert [key for key in keys(client) if "/tables/" in key] == tables
    assert len(rows_of_latest(client, "user_portraits")) == 3
    # It had taken a run that was published again for the one it knew.
    run_day("2026-10-31", "r1", users=4)
    as_earlier_releases_named_it(client)
    assert publish()["uploaded"] == ["r1"]
    publish()
    assert len(rows_of_latest(client, "user_portraits")) == 4
    assert not any("/r1." in key for key in keys(client))


def test_a_deletion_that_breaks_off_goes_on(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-10-31", "r2")
    publish()
    delete, done = s3.Prefix.delete, []

    def breaks(self: s3.Prefix, names: list[str]) -> None:
        if done:
            raise ConnectionError("the network went")
        done.append(names)
        delete(self, names)

    with monkeypatch.context() as broken:
        broken.setattr(s3.Prefix, "delete", breaks)
        with pytest.raises(ConnectionError):
            publish()
    publish()
    assert not any("/r1~" in key for key in keys(client))


def test_what_a_broken_upload_left_goes_after_a_day(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    folder = "shop/tables/user_portraits/as_of_date=2026-10-31"
    ours = [f"{folder}/r1~20261101T060000000000.parquet", f"{folder}/gone.parquet"]
    theirs = "shop/tables/notes.txt"
    for key in (*ours, theirs):
        client.put_object(Bucket="bi-tables", Key=key, Body=b"half")
    before = keys(client)
    assert publish()["swept"] == 0  # somebody may be uploading it now
    assert keys(client) == before
    monkeypatch.setattr(s3, "UPLOAD_ENDS_IN", timedelta(0))
    assert publish()["swept"] == 2
    assert keys(client) == sorted(set(before) - set(ours))


def test_what_may_not_be_deleted_is_said(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-10-31", "r2")
    publish()
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"}
    policy = {"Version": "2012-10-17", "Statement": [{**denied, "Resource": "arn:aws:s3:::bi-tables/*"}]}
    client.put_bucket_policy(Bucket="bi-tables", Policy=json.dumps(policy))
    with pytest.raises(StepError, match=r"were not deleted.*AccessDenied") as error:
        publish()
    assert "s3:DeleteObjectVersion" in error.value.remedy


@pytest.mark.usefixtures("with_versions")
def test_days_that_were_kept_long_enough_go_with_their_versions(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any, lake: Path, warehouse: Path
) -> None:
    for day in ("2026-10-30", "2026-10-31", "2026-11-01"):
        run_day(day, f"run of {day}")
        publish()
    run_day("2026-11-01", "run of 2026-11-01", users=4)
    publish()
    assert expire_history(lake, warehouse, date(2026, 10, 31)) == ["2026-10-30"]
    publish()
    assert sorted(versions(client)) == [key for key in keys(client) if "/tables/" in key]
    assert {re.search(r"run of [^~]*", key)[0] for key in versions(client)} == {  # type: ignore[index]
        "run of 2026-10-31",
        "run of 2026-11-01",
    }


@pytest.mark.usefixtures("with_versions")
def test_what_was_written_over_or_deleted_before_leaves_no_version_either(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], client: Any
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    table = next(key for key in keys(client) if "/tables/user_portraits/" in key)
    body = client.get_object(Bucket="bi-tables", Key=table)["Body"].read()
    client.put_object(Bucket="bi-tables", Key=table, Body=body)
    gone = "shop/tables/user_portraits/as_of_date=2026-10-30/r0.parquet"
    client.put_object(Bucket="bi-tables", Key=gone, Body=body)
    client.delete_object(Bucket="bi-tables", Key=gone)
    theirs = "shop/tables/notes.txt"
    for body in (b"older", b"newer"):
        client.put_object(Bucket="bi-tables", Key=theirs, Body=body)
    assert publish()["deleted"] == []
    assert sorted(versions(client)) == sorted([*(key for key in keys(client) if "/tables/" in key), theirs])


def test_killed_at_any_moment_the_latest_set_is_whole_and_the_next_run_goes_on(
    run_day: RunDay,
    publish: Callable[[], dict[str, Any]],
    client: Any,
    lake: Path,
    warehouse: Path,
    s3_endpoint: str,
) -> None:
    command = [
        *(sys.executable, "-m", "warehouse.targets.s3", "--lake", str(lake), "--as-of", "2026-10-31"),
        *("--warehouse", str(warehouse), "--to", "s3://bi-tables/shop", "--endpoint-url", s3_endpoint),
    ]
    run_day("2026-10-31", "r0")
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds, dice, killed, stands = time.monotonic() - started, random.Random(5), 0, "r0"
    for n in range(1, 4 * KILLS):
        run_day("2026-10-31", f"r{n}", users=3 + n % 2)
        started = time.monotonic()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=seconds * dice.uniform(0.3, 1.0))
            seconds = min(seconds, time.monotonic() - started)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        latest = whole_latest(client)
        assert latest in (stands, f"r{n}")
        stands = latest
        if killed == KILLS:
            break
    assert killed == KILLS
    assert publish()["latest_run"] == whole_latest(client) == f"r{n}"
    # What stands, and the one before it for who reads it still.
    assert len([key for key in keys(client) if "/manifests/" in key]) <= 2


def test_another_shops_prefix_is_left_alone(
    run_day: RunDay,
    publish: Callable[[], dict[str, Any]],
    client: Any,
    lake: Path,
    warehouse: Path,
    s3_endpoint: str,
    tmp_path: Path,
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    assert read(client, "latest.json")["shop"] == tmp_path.name
    there, others = keys(client), tmp_path / "books" / "lake"
    with pytest.raises(StepError, match=rf"holds the tables of the shop {tmp_path.name}: those of books"):
        s3.publish("s3://bi-tables/shop", s3_endpoint, others, warehouse)
    assert keys(client) == there

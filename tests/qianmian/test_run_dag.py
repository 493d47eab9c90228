"""What `make run` refuses before anything starts, and how the command line says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qianmian import settings
from qianmian.__main__ import main
from qianmian.run_dag import check_request
from qianmian.step import StepError


def test_a_data_folder_is_found_from_where_the_person_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for feed in ("events", "items"):
        (tmp_path / "data" / feed).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert check_request(settings.load("mine", {}), "data", "2011-11-30") == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("shop", "missing"),
    [
        ("mine", "items"),
        ("online_retail", "online_retail.parquet"),
        ("completejourney", "transactions_sample.parquet and products.parquet"),
    ],
)
def test_a_folder_without_what_the_shop_needs_is_refused_at_once(tmp_path: Path, shop: str, missing: str) -> None:
    (tmp_path / "events").mkdir()
    with pytest.raises(StepError, match=f"does not hold {missing}"):
        check_request(settings.load(shop, {}), str(tmp_path), "")


def test_a_bucket_is_passed_on_as_it_is() -> None:
    assert check_request(settings.load("mine", {}), "s3://bucket/feeds", "") == "s3://bucket/feeds"


def test_the_simulated_shop_needs_no_data() -> None:
    assert check_request(settings.load("simulated", {}), "", "") == ""


@pytest.mark.parametrize(
    ("shop", "data", "as_of", "named"),
    [
        ("mine", "", "", "no data"),
        ("mine", "/no/such/folder", "", "/no/such/folder"),
        ("simulated", "", "31.10.2026", "31.10.2026"),
    ],
)
def test_what_cannot_work_is_refused_by_name(shop: str, data: str, as_of: str, named: str) -> None:
    with pytest.raises(StepError) as refused:
        check_request(settings.load(shop, {}), data, as_of)
    assert named in refused.value.what
    assert refused.value.remedy


def test_the_command_line_says_what_to_do_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    assert main(["run", "--shop", "mine", "--data", "/no/such/folder"]) == 2
    said = capsys.readouterr().err
    assert said.strip().startswith("ERROR: The data folder /no/such/folder does not exist.")
    assert "WHAT TO DO:" in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QIANMIAN_HOME", str(tmp_path))
    monkeypatch.setattr("qianmian.local_airflow.FREE_DISK_BYTES", 10**18)
    assert main(["run"]) == 2
    assert "free on the disk" in capsys.readouterr().err
    assert not (tmp_path / "airflow" / "postgres").exists()

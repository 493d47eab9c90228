"""Which values a setting may have; which variables that begin with QIANMIAN_ nothing reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from feeds.prepare import ADAPTERS
from feeds.simulated.shop import FEWEST_USERS, MOST_USERS
from ml.text_encoder.fine_tuning.settings import METHODS
from qianmian import setting_rules, settings
from qianmian.setting_rules import OTHER_VARIABLES, RULES, TEST_VARIABLES, misspelt_variables
from qianmian.step import StepError
from warehouse.targets.postgres import SCHEMA

NAMES = {f.name for f in fields(settings.Settings)} - {"shop", "home"}
VARIABLE = re.compile(r"\bQIANMIAN_[A-Z0-9][A-Z0-9_]*[A-Z0-9]\b")


@pytest.fixture(autouse=True)
def forgotten_warnings() -> Iterator[None]:
    """Each test sees the warnings that are given once."""
    setting_rules._warn_of.cache_clear()
    yield
    setting_rules._warn_of.cache_clear()


def test_every_setting_has_a_rule() -> None:
    assert set(RULES) == NAMES


@pytest.mark.parametrize(
    ("name", "good", "wrong"),
    [
        ("adapter", ["simulated"], ["", "csv"]),
        ("source", ["", "/data/my shop", "data", "s3://bucket", "s3://b/p"], ["s3://", "gs://bucket/p"]),
        ("s3_endpoint_url", ["", "http://127.0.0.1:9000"], ["minio:9000", "s3://x", "http://", "http://["]),
        ("default_as_of", ["", "2026-10-31"], ["20261031", "2026-02-30", "yesterday"]),
        ("currency", ["EUR"], ["", "eur", "€"]),
        ("time_zone", ["UTC", "Europe/London"], ["", "London", "+08:00"]),
        ("text_encoder", ["all-MiniLM-L6-v2"], ["", " "]),
        ("list_variety", [0.0, 0.99], [-0.1, 1.0, float("nan"), float("inf")]),
        ("max_quarantined_share", [0.0, 0.2, 1.0], [-0.1, 1.1, 20.0, float("nan")]),
        ("exploration_slots", [0, 3], [-1]),
        ("text_fine_tuning", ["lora", "full", "off"], ["", "none"]),
        ("text_fine_tuning_seconds", [1, 900], [0, -900]),
        ("recommender_training_seconds", [1, 7200], [0, -1]),
        ("postgres_target", ["", "postgresql://w@db/bi", "host=db user=w", "service=bi"], ["db/bi", "mysql://db"]),
        ("postgres_schema", ["qianmian"], ["", "Bi", "2bi", "bi-x", "b" * 32]),
        ("postgres_reader_role", ["", "bi_reader"], ["r" * 64]),
        ("s3_target", ["", "s3://bucket/prefix"], ["bucket/prefix", "s3://", "https://bucket"]),
        ("keep_history_days", [0, 730], [-1, 1_000_000]),
        ("simulated_users", [100, 2000], [0, 99, 10_000_001]),
        ("simulated_seed", [0, 7], [-1]),
        ("spark_master", ["local", "local[2]", "local[*]", "spark://h:7077"], ["", "local[two]", "h:7077"]),
        ("spark_driver_memory", ["2g", "512m", "2GB"], ["", "2", "0g", "two"]),
        ("spark_options", ["", "spark.a=1 'spark.b=2 3'"], ["a=1", "spark.a", "spark.a='1"]),
        ("task_timeout_hours", [0, 6, 8760], [-1, 8761]),
        ("schedule", ["", "0 2 * * *", "*/5 * * * mon-fri", "@daily"], ["daily", "0 25 * * *", "0 2 31 2 *"]),
        ("train_schedule", ["0 5 * * 1"], ["0 0 5 * * 1", "5"]),
        ("publish_by", ["", "06:00", "6:30"], ["6", "24:00", "06:00 UTC"]),
        ("alert_format", ["json", "wecom"], ["", "teams"]),
        ("lineage", ["", "/var/log/lineage.jsonl", "http://marquez:5000"], ["kafka://broker"]),
        ("daily_shop", ["simulated", "my-shop_2"], ["", "../up", "a b"]),
        ("airflow_port", [0, 8080, 65_535], [-1, 65_536]),
    ],
)  # fmt: skip
def test_what_a_setting_may_be(name: str, good: list[object], wrong: list[object]) -> None:
    assert [value for value in good if not RULES[name].holds(value)] == []
    assert [value for value in wrong if RULES[name].holds(value)] == []


def test_what_is_written_twice_is_the_same() -> None:
    webhook = (settings.ROOT / "dags" / "webhook.py").read_text()
    formats = re.findall(r'^    "(\w+)": lambda', webhook, re.MULTILINE)
    assert RULES["alert_format"].allowed == f"one of {', '.join(formats)}"
    assert RULES["adapter"].allowed == f"one of {', '.join(sorted(ADAPTERS))}"
    assert RULES["simulated_users"].allowed == f"a whole number from {FEWEST_USERS} to {MOST_USERS}"
    assert setting_rules._SCHEMA == SCHEMA
    assert RULES["text_fine_tuning"].allowed == f"one of {', '.join((*METHODS, 'off'))}"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("QIANMIAN_SHEDULE", "QIANMIAN_SCHEDULE"),
        ("QIANMIAN_TIMEZONE", "QIANMIAN_TIME_ZONE"),
        ("QIANMIAN_POSTGRES_TARGTE", "QIANMIAN_POSTGRES_TARGET"),
        ("QIANMIAN_ALERT_WEBHOK", "QIANMIAN_ALERT_WEBHOOK"),
        ("QIANMIAN_PSEUDONYMS_KEY", "QIANMIAN_PSEUDONYM_KEY"),
    ],
)
def test_a_misspelt_variable_is_refused_and_its_value_not_shown(variable: str, meant: str) -> None:
    with pytest.raises(StepError, match=f"{variable} is set, and nothing reads it: {meant} is meant") as refused:
        settings.load("mine", {variable: "hunter2"})
    assert "hunter2" not in refused.value.what + refused.value.remedy


def test_what_is_less_like_a_setting_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"QIANMIAN_TARGTS": "x", "QIANMIAN_VERSION": "1.2"}
    with caplog.at_level(logging.WARNING, "qianmian"):
        settings.load("mine", environ)
        settings.load("mine", environ)
    assert [record.message for record in caplog.records] == [
        "the variable QIANMIAN_TARGTS is set, and nothing reads it. Is QIANMIAN_S3_TARGET meant?",
        "the variable QIANMIAN_VERSION is set, and nothing reads it.",
    ]


def test_what_kubernetes_sets_for_a_service_of_that_name_is_nobodys_slip(caplog: pytest.LogCaptureFixture) -> None:
    environ = {
        "QIANMIAN_SERVICE_HOST": "10.0.0.1",
        "QIANMIAN_SERVICE_PORT": "8501",
        "QIANMIAN_SERVICE_PORT_HTTP": "8501",
        "QIANMIAN_PORT": "tcp://10.0.0.1:8501",
        "QIANMIAN_PORT_8501_TCP_ADDR": "10.0.0.1",
        "QIANMIAN_WEB_PORT": "tcp://10.0.0.1:8501",
    }
    with caplog.at_level(logging.WARNING, "qianmian"):
        settings.load("mine", environ)
    assert caplog.records == []


def test_variables_that_the_project_reads_are_known(caplog: pytest.LogCaptureFixture) -> None:
    read: set[str] = set()
    for folder in (".ci", "bench", "bi", "dags", "dbt_project", "feeds", "ml", "preview", "privacy", "qianmian"):
        read |= _variables(settings.ROOT / folder)
    read |= _variables(settings.ROOT / "spark_jobs") | _variables(settings.ROOT / "warehouse")
    read |= set(VARIABLE.findall((settings.ROOT / "Makefile").read_text()))
    assert read >= OTHER_VARIABLES
    tests = {name for name in _variables(settings.ROOT / "tests") if name not in _MADE_UP}
    with caplog.at_level(logging.WARNING, "qianmian"):
        assert misspelt_variables(dict.fromkeys(read - _IN_COMMENTS, "x"), NAMES) == {}
        assert misspelt_variables(dict.fromkeys(tests | TEST_VARIABLES, "x"), NAMES) == {}
    assert caplog.records == []


#: Slips that the sources tell of, and those of this file.
_IN_COMMENTS = {"QIANMIAN_IMAGE"}
_MADE_UP = set(VARIABLE.findall(Path(__file__).read_text())) | {"QIANMIAN_SHEDULE"}


def _variables(folder: Path) -> set[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    texts = (path.read_text(errors="replace") for path in files if path.suffix not in (".png", ".parquet"))
    return {name for text in texts for name in VARIABLE.findall(text)}

"""Settings: one place, unknown names refused, the environment on top."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qianmian import settings
from qianmian.step import StepError

DEFAULTS = settings.SETTINGS_FILE.read_text()


def written(folder: Path, text: str) -> Path:
    file = folder / "qianmian.toml"
    file.write_text(text)
    return file


def test_a_shop_has_its_section_over_the_defaults() -> None:
    shop = settings.load("online_retail", {})
    assert (shop.adapter, shop.default_as_of, shop.currency) == ("online_retail", "2011-11-30", "GBP")
    assert shop.lake == settings.ROOT / "var" / "online_retail" / "lake"
    other = settings.load("completejourney", {})
    assert (other.adapter, other.default_as_of, other.currency) == ("completejourney", "2017-11-30", "USD")


def test_a_shop_without_a_section_has_the_defaults() -> None:
    shop = settings.load("my_shop", {})
    assert (shop.adapter, shop.default_as_of) == ("feeds", "")


def test_the_environment_is_above_the_file_and_keeps_the_type(tmp_path: Path) -> None:
    environ = {"QIANMIAN_SIMULATED_USERS": "500", "QIANMIAN_CURRENCY": "EUR", "QIANMIAN_HOME": str(tmp_path)}
    shop = settings.load("online_retail", environ)
    assert (shop.simulated_users, shop.currency, shop.warehouse) == (
        500,
        "EUR",
        tmp_path / "online_retail" / "warehouse.duckdb",
    )


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ('[shops.mine]\nadaptor = "feeds"\n', "adaptor in [shops.mine] of qianmian.toml is no setting: adapter"),
        ('[shops.other]\nadaptor = "feeds"\n', "adaptor in [shops.other]"),
        (
            "[shops.mine]\ncolour = 1\n",
            "colour in [shops.mine] of qianmian.toml is no setting. Known are adapter,",
        ),
        ("[default]\n", "[default] in qianmian.toml is no section"),
        ("[shops]\nmine = 3\n", "shops.mine in qianmian.toml is no section"),
        ('[shops.mine]\nsimulated_users = "many"\n', "[shops.mine] of qianmian.toml: simulated_users = 'many'"),
        ("[shops.mine]\nsimulated_users = true\n", "simulated_users = True"),
        ("[shops.mine]\ncurrency = EUR\n", "is not TOML: Invalid value (at line "),
    ],
)
def test_a_wrong_name_or_type_is_refused_by_name(tmp_path: Path, more: str, named: str) -> None:
    with pytest.raises(StepError) as refused:
        settings.load("mine", {}, written(tmp_path, DEFAULTS + more))
    assert named in refused.value.what


@pytest.mark.parametrize("name", ["../up", "a b", "", "a/b"])
def test_a_shop_cannot_be_named_like_a_path(name: str) -> None:
    with pytest.raises(StepError):
        settings.load(name, {})


def test_a_time_zone_is_one_that_exists() -> None:
    assert settings.load("mine", {"QIANMIAN_TIME_ZONE": "Asia/Shanghai"}).time_zone == "Asia/Shanghai"
    with pytest.raises(
        StepError, match="QIANMIAN_TIME_ZONE: time_zone = 'Shanghai', allowed is a time zone's name"
    ):
        settings.load("mine", {"QIANMIAN_TIME_ZONE": "Shanghai"})


def test_the_day_of_a_run_is_the_default_by_hand_and_yesterday_on_schedule() -> None:
    moment = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
    assert settings.load("simulated", {}).as_of(moment, scheduled=False) == "2026-10-31"
    assert settings.load("simulated", {}).as_of(moment, scheduled=True) == "2026-02-28"
    assert settings.load("my_shop", {}).as_of(moment, scheduled=False) == "2026-02-28"


def test_the_config_hash_follows_what_shapes_the_tables_and_nothing_else() -> None:
    base = settings.load("simulated", {}).config_hash("")
    elsewhere = {"QIANMIAN_HOME": "/elsewhere", "QIANMIAN_SPARK_MASTER": "local[8]", "QIANMIAN_SCHEDULE": ""}
    assert settings.load("simulated", elsewhere).config_hash("") == base
    assert settings.load("simulated", {"QIANMIAN_SIMULATED_SEED": "8"}).config_hash("") != base
    assert settings.load("simulated", {}).config_hash("s3://other") != base


def test_the_daily_shop_is_loaded_with_its_own_section(tmp_path: Path) -> None:
    text = DEFAULTS.replace('daily_shop = "simulated"', 'daily_shop = "online_retail"')
    assert settings.load_daily({}, written(tmp_path, text)).currency == "GBP"
    assert settings.shop_names() == ["simulated", "online_retail", "completejourney"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://writer:hunter2@db/bi",
        "host=db user=writer password=hunter2",
        "postgresql://db/bi?password=hunter2",
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(StepError, match="postgres_target holds a password") as refused:
        settings.load("simulated", {"QIANMIAN_POSTGRES_TARGET": address, "QIANMIAN_SCHEDULE": "daily"})
    assert "PGPASSWORD" in refused.value.remedy
    assert "schedule = 'daily'" in refused.value.what
    assert "hunter2" not in refused.value.what + refused.value.remedy
    settings.load("simulated", {"QIANMIAN_POSTGRES_TARGET": "postgresql://writer@db:5432/bi"})


def test_a_secret_among_sparks_options_is_refused_without_showing_it() -> None:
    environ = {"QIANMIAN_SPARK_OPTIONS": "spark.authenticate=true spark.authenticate.secret=hunter2"}
    with pytest.raises(StepError, match="spark_options holds a password") as refused:
        settings.load("mine", environ)
    assert "hunter2" not in str(refused.value)
    assert "spark-defaults.conf" in refused.value.remedy


def test_the_hour_of_freshness_is_a_cron_or_none() -> None:
    assert settings.load("simulated", {"QIANMIAN_PUBLISH_BY": "06:30"}).publish_by_cron == "30 6 * * *"
    assert settings.load("simulated", {"QIANMIAN_PUBLISH_BY": ""}).publish_by_cron == ""
    with pytest.raises(StepError, match="'6 in the morning', allowed is a time of day"):
        settings.load("simulated", {"QIANMIAN_PUBLISH_BY": "6 in the morning"})


def test_all_that_is_wrong_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = DEFAULTS.replace("keep_reports_days = 90", "keep_reports_days = -90")
    file = written(tmp_path, text.replace("[shops.simulated]\n", "[shops.simulated]\nlist_variety = 30\n"))
    environ = {"QIANMIAN_AIRFLOW_PORT": "abc", "QIANMIAN_SHEDULE": "0 2 * * *"}
    with pytest.raises(StepError) as refused:
        settings.load("simulated", environ, file)
    assert refused.value.what.splitlines() == [
        "4 settings are wrong:",
        "  QIANMIAN_SHEDULE is set, and nothing reads it: QIANMIAN_SCHEDULE is meant.",
        "  [shops.simulated] of qianmian.toml: list_variety = 30.0, allowed is a number from 0 to below 1.",
        "  [defaults] of qianmian.toml: keep_reports_days = -90, allowed is a whole number of days from 0 "
        "(for ever) to 36500.",
        "  QIANMIAN_AIRFLOW_PORT: airflow_port = 'abc', allowed is a whole number from 0 to 65535.",
    ]
    # A shop is not stopped by what another shop's section says.
    with pytest.raises(StepError, match=r"^A setting is wrong: \[defaults\] of qianmian.toml: keep_reports_days"):
        settings.load("mine", {}, file)


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    file = written(tmp_path, DEFAULTS + "[shops.mine]\nlist_variety = 0\nmax_quarantined_share = 1\n")
    shop = settings.load("mine", {}, file)
    assert (repr(shop.list_variety), repr(shop.max_quarantined_share)) == ("0.0", "1.0")


def test_a_setting_without_a_default_is_missed_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, DEFAULTS.replace("exploration_slots = 1", "# exploration_slots = 1"))
    with pytest.raises(StepError, match=r"exploration_slots is missing in \[defaults\] of qianmian.toml"):
        settings.load("mine", {}, file)


def test_the_defaults_can_be_written_over_by_the_environment_as_they_stand() -> None:
    defaults = tomllib.loads(DEFAULTS)["defaults"]
    environ = {f"QIANMIAN_{name.upper()}": str(value) for name, value in defaults.items()}
    assert settings.load("mine", environ) == settings.load("mine", {})

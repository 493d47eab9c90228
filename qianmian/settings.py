"""Settings: `qianmian.toml`, a shop's section over the defaults, the environment over both.

Only `dags/` and `qianmian/` read settings; a step takes what it needs as arguments.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from qianmian.step import StepError

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_FILE = ROOT / "qianmian.toml"
ALERT_WEBHOOK = "QIANMIAN_ALERT_WEBHOOK"
_PASSWORD = re.compile(r"password\s*=|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_WHERE_AND_WHEN = (
    *("home", "default_as_of", "schedule", "train_schedule", "forget_schedule", "daily_shop"),
    *("airflow_port", "preview_port", "superset_port", "spark_master", "spark_driver_memory", "s3_endpoint_url"),
    *("keep_history_days", "keep_quarantine_days", "keep_reports_days"),
    *("postgres_target", "postgres_schema", "postgres_reader_role", "s3_target"),
    *("publish_by", "alert_format", "lineage", "task_timeout_hours", "training_timeout_hours", "spark_options"),
)


@dataclass(frozen=True)
class Settings:
    """The settings in force for one shop. Meanings stand beside the defaults in `qianmian.toml`."""

    shop: str
    home: Path
    adapter: str
    source: str
    s3_endpoint_url: str
    default_as_of: str
    currency: str
    time_zone: str
    text_encoder: str
    portrait_writer: str
    list_variety: float
    exploration_slots: int
    text_fine_tuning: str
    text_fine_tuning_seconds: int
    postgres_target: str
    postgres_schema: str
    postgres_reader_role: str
    s3_target: str
    keep_history_days: int
    keep_quarantine_days: int
    keep_reports_days: int
    max_quarantined_share: float
    simulated_users: int
    simulated_seed: int
    spark_master: str
    spark_driver_memory: str
    spark_options: str
    schedule: str
    train_schedule: str
    forget_schedule: str
    task_timeout_hours: int
    training_timeout_hours: int
    publish_by: str
    alert_format: str
    lineage: str
    daily_shop: str
    airflow_port: int
    preview_port: int
    superset_port: int

    @property
    def shop_dir(self) -> Path:
        """Everything of the shop lies under here."""
        return self.home / self.shop

    @property
    def lake(self) -> Path:
        """The record: Parquet, by day."""
        return self.shop_dir / "lake"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that BI opens, replaced whole."""
        return self.shop_dir / "warehouse.duckdb"

    @property
    def mlflow_home(self) -> Path:
        """MLflow's store: trainings of all shops."""
        return self.home / "mlflow"

    @property
    def pseudonym_key_file(self) -> Path:
        """Key of the HMAC that turns user ids into pseudonyms, where none is in QIANMIAN_PSEUDONYM_KEY."""
        return self.home / "secrets" / "pseudonym.key"

    @property
    def publish_by_cron(self) -> str:
        """Cron (UTC) of the moment in `publish_by`; empty where there is none.

        Raises:
            StepError: it is no time of day.

        """
        if not self.publish_by:
            return ""
        try:
            moment = datetime.strptime(self.publish_by, "%H:%M")
        except ValueError:
            raise StepError(
                f"publish_by = {self.publish_by!r} is no time of day.",
                "Give hh:mm, UTC, such as 06:00; or nothing.",
            ) from None
        return f"{moment.minute} {moment.hour} * * *"

    def as_of(self, moment: datetime, scheduled: bool) -> str:
        """Day a run of that moment works for when none is given: `default_as_of`, else the day before (UTC).

        A scheduled run always works for the day before: otherwise every one would work for the same day.
        """
        default = "" if scheduled else self.default_as_of
        return default or (moment.astimezone(UTC).date() - timedelta(days=1)).isoformat()

    def config_hash(self, source: str) -> str:
        """SHA-256 over the settings that shape the tables: not where or when the run takes place."""
        values = {k: v for k, v in asdict(self).items() if k not in _WHERE_AND_WHEN}
        return hashlib.sha256(json.dumps({**values, "source": source}, sort_keys=True).encode()).hexdigest()


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds everything a run writes: QIANMIAN_HOME, else `var/` in the project."""
    return Path(environ.get("QIANMIAN_HOME") or ROOT / "var").resolve()


def alert_webhook(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address that is told of failures: QIANMIAN_ALERT_WEBHOOK, else a file's; empty: none.

    It is a secret, since whoever knows it may write there, and so no setting: it is read only where it is used.
    """
    file = home(environ) / "secrets" / "alert_webhook"
    return environ.get(ALERT_WEBHOOK) or (file.read_text().strip() if file.exists() else "")


def load(shop: str, environ: Mapping[str, str] = os.environ, file: Path = SETTINGS_FILE) -> Settings:
    """Load one shop's settings. A shop without a section of its own has the defaults.

    Raises:
        StepError: a name is unknown or a value has the wrong type.

    """
    if not shop.replace("_", "").replace("-", "").isalnum():
        raise StepError(
            f"{shop!r} cannot name a shop: it becomes a folder's name.", "Use letters, digits, _ and - only."
        )
    data = tomllib.loads(file.read_text())
    defaults: dict[str, Any] = data.pop("defaults", {})
    shops: dict[str, dict[str, Any]] = data.pop("shops", {})
    known = {f.name for f in fields(Settings)} - {"shop", "home"}
    sections = {"defaults": defaults, **{f"shops.{name}": section for name, section in shops.items()}}
    unknown = sorted(
        [f"[{name}] (a section)" for name in data]
        + [f"{key} in [{name}]" for name, section in sections.items() for key in section if key not in known]
    )
    if unknown:
        raise StepError(
            f"{file.name}: unknown setting {', '.join(unknown)}.",
            f"Known settings: {', '.join(sorted(known))}.",
        )
    values = {**defaults, **shops.get(shop, {})}
    for key, value in environ.items():
        name = key.removeprefix("QIANMIAN_").lower()
        if key.startswith("QIANMIAN_") and name in known:
            values[name] = _of_type(key, value, type(defaults[name]))
    for name in sorted(known):
        if not isinstance(values.get(name), type(defaults.get(name, ""))):
            raise StepError(
                f"{file.name}: {name} = {values.get(name)!r} is not a {type(defaults.get(name, '')).__name__}.",
                f"Give {name} a value like its default in [defaults], {defaults.get(name)!r}.",
            )
    _refuse_passwords(values, file)
    if values["time_zone"] not in available_timezones():
        raise StepError(
            f"{file.name}: time_zone = {values['time_zone']!r} is no time zone.",
            "Give it a name of the IANA database such as Asia/Shanghai, Europe/London or UTC.",
        )
    return Settings(shop=shop, home=home(environ), **values)


def _of_type(variable: str, text: str, kind: type) -> Any:
    """Return what a variable of the environment says, as its setting's type.

    Raises:
        StepError: it says something else.

    """
    try:
        return kind(text)
    except ValueError:
        raise StepError(f"{variable}={text} is no {kind.__name__}.", f"Give {variable} one.") from None


def _refuse_passwords(values: Mapping[str, Any], file: Path) -> None:
    """Refuse an address with a password in it: settings are shown in logs, process lists and Airflow's pages.

    Raises:
        StepError: names the setting, not the value.

    """
    for name, value in values.items():
        if isinstance(value, str) and _PASSWORD.search(value):
            raise StepError(
                f"{file.name}: the address in {name} holds a password: it would stand in logs and process lists.",
                "Take it out. PostgreSQL's goes into PGPASSWORD or a password file (PGPASSFILE), S3's keys where "
                "boto3 finds them.",
            )


def load_daily(environ: Mapping[str, str] = os.environ, file: Path = SETTINGS_FILE) -> Settings:
    """Load the settings of the shop that the daily schedule serves."""
    return load(load("defaults", environ, file).daily_shop, environ, file)


def shop_names(file: Path = SETTINGS_FILE) -> list[str]:
    """Return the shops that have a section of their own."""
    return list(tomllib.loads(file.read_text()).get("shops", {}))

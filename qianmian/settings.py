"""Settings: `qianmian.toml`, a shop's section over the defaults, the environment over both.

Only `dags/`, `qianmian/`, `preview/` and `bi/` read settings; a step takes what it needs as arguments.
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

from qianmian.setting_rules import PREFIX, RULES, misspelt_variables, names_a_shop, nearest
from qianmian.step import StepError

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_FILE = ROOT / "qianmian.toml"
ALERT_WEBHOOK = "QIANMIAN_ALERT_WEBHOOK"
_TYPES: Mapping[str, type] = {"str": str, "int": int, "float": float}
_PASSWORD = re.compile(r"(password|secret)\s*=|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
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
    recommender_training_seconds: int
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
        """Cron (UTC) of the moment in `publish_by`; empty where there is none."""
        if not self.publish_by:
            return ""
        moment = datetime.strptime(self.publish_by, "%H:%M")
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
        StepError: names or values are wrong. It lists them all, each with its place and what is allowed there.

    """
    if not names_a_shop(shop):
        raise StepError(
            f"{shop!r} cannot name a shop: it becomes a folder's name.", "Use letters, digits, _ and - only."
        )
    data = _parsed(file)
    kinds = {f.name: _TYPES[str(f.type)] for f in fields(Settings) if f.name not in ("shop", "home")}
    wrong = _unknown_names(data, set(kinds), file)
    wrong += [
        f"{name} is set, and nothing reads it: {meant} is meant"
        for name, meant in misspelt_variables(environ, kinds).items()
    ]
    values, places = _in_force(data, shop, environ, set(kinds), file)
    has_password = False
    for name, kind in kinds.items():
        if name not in values:
            wrong.append(f"{name} is missing in [defaults] of {file.name}")
            continue
        value = values[name] = _of_type(values[name], kind, from_text=places[name].startswith(PREFIX))
        if isinstance(value, str) and _PASSWORD.search(value):
            # Its value is not shown: it would stand in logs and on Airflow's pages all the same.
            has_password = True
            wrong.append(f"{places[name]}: {name} holds a password, which would stand in logs and process lists")
        elif type(value) is not kind or not RULES[name].holds(value):
            wrong.append(f"{places[name]}: {name} = {value!r}, allowed is {RULES[name].allowed}")
    if wrong:
        raise _refusal(wrong, has_password)
    return Settings(shop=shop, home=home(environ), **values)


def _parsed(file: Path) -> dict[str, Any]:
    """Read the file of settings.

    Raises:
        StepError: it is not TOML.

    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StepError(
            f"{file} is not TOML: {error}.",
            'Correct that line: name = value, and texts in quotes, such as currency = "EUR".',
        ) from None


def _unknown_names(data: Mapping[str, Any], known: set[str], file: Path) -> list[str]:
    """Return, in words, the sections and keys that are none: of every shop, so that a slip is seen at once."""
    unknown = [
        f"[{name}] in {file.name} is no section: [defaults] and [shops.<name>] are"
        for name, section in data.items()
        if name not in ("defaults", "shops") or not isinstance(section, dict)
    ]
    for name, section in _sections(data).items():
        if not isinstance(section, dict):
            unknown.append(f"{name} in {file.name} is no section: write [{name}]")
            continue
        for key in section:
            if key not in known:
                meant = nearest(key, known)
                hint = f": {meant} is meant" if meant else f". Known are {', '.join(sorted(known))}"
                unknown.append(f"{key} in [{name}] of {file.name} is no setting{hint}")
    return unknown


def _sections(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that hold settings, by their names as the file writes them."""
    defaults, shops = data.get("defaults"), data.get("shops")
    found = {f"shops.{name}": section for name, section in shops.items()} if isinstance(shops, dict) else {}
    return {**({"defaults": defaults} if isinstance(defaults, dict) else {}), **found}


def _in_force(
    data: Mapping[str, Any], shop: str, environ: Mapping[str, str], known: set[str], file: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values that hold for a shop, and where each of them stands."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    sections = _sections(data)
    for section in ("defaults", f"shops.{shop}"):
        found = sections.get(section, {})
        for name, value in found.items() if isinstance(found, dict) else ():
            if name in known:
                values[name], places[name] = value, f"[{section}] of {file.name}"
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name in known:
            values[name], places[name] = text, variable
    return values, places


def _of_type(value: Any, kind: type, *, from_text: bool) -> Any:
    """Return a value as its setting's type; as it is, where it says something else."""
    if from_text:
        try:
            return kind(value)
        except ValueError:
            return value
    return float(value) if kind is float and type(value) is int else value


def _refusal(wrong: list[str], has_password: bool) -> StepError:
    """Return the error that lists all that is wrong."""
    what = (
        f"A setting is wrong: {wrong[0]}."
        if len(wrong) == 1
        else "\n  ".join([f"{len(wrong)} settings are wrong:", *(f"{line}." for line in wrong)])
    )
    remedy = "Correct what is named; what each setting means stands beside its default in qianmian.toml."
    if has_password:
        remedy += (
            " Take passwords out: PostgreSQL's goes into PGPASSWORD or a password file (PGPASSFILE), S3's keys "
            "where boto3 finds them, Spark's into spark-defaults.conf."
        )
    return StepError(what, remedy)


def load_daily(environ: Mapping[str, str] = os.environ, file: Path = SETTINGS_FILE) -> Settings:
    """Load the settings of the shop that the daily schedule serves."""
    return load(load("defaults", environ, file).daily_shop, environ, file)


def shop_names(file: Path = SETTINGS_FILE) -> list[str]:
    """Return the shops that have a section of their own."""
    return list(_parsed(file).get("shops", {}))

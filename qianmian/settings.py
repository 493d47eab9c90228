"""Settings: `qianmian.toml`, a shop's section over the defaults, the environment over both.

Only `dags/` and `qianmian/` read settings; a step takes what it needs as arguments.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from qianmian.step import StepError

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_FILE = ROOT / "qianmian.toml"
_WHERE_AND_WHEN = (
    *("home", "default_as_of", "schedule", "train_schedule", "daily_shop"),
    *("airflow_port", "preview_port", "spark_master", "spark_driver_memory", "s3_endpoint_url"),
    *("postgres_target", "postgres_schema", "postgres_reader_role", "s3_target"),
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
    max_quarantined_share: float
    simulated_users: int
    simulated_seed: int
    spark_master: str
    spark_driver_memory: str
    schedule: str
    train_schedule: str
    daily_shop: str
    airflow_port: int
    preview_port: int

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
            values[name] = type(defaults[name])(value)
    for name in sorted(known):
        if not isinstance(values.get(name), type(defaults.get(name, ""))):
            raise StepError(
                f"{file.name}: {name} = {values.get(name)!r} is not a {type(defaults.get(name, '')).__name__}.",
                f"Give {name} a value like its default in [defaults], {defaults.get(name)!r}.",
            )
    return Settings(shop=shop, home=home(environ), **values)


def load_daily(environ: Mapping[str, str] = os.environ, file: Path = SETTINGS_FILE) -> Settings:
    """Load the settings of the shop that the daily schedule serves."""
    return load(load("defaults", environ, file).daily_shop, environ, file)


def shop_names(file: Path = SETTINGS_FILE) -> list[str]:
    """Return the shops that have a section of their own."""
    return list(tomllib.loads(file.read_text()).get("shops", {}))

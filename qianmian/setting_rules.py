"""What each setting may be, and which variables of the environment begin with QIANMIAN_.

A wrong value is told where settings are loaded, with all others: not hours later, by the one step that reads it.
"""

from __future__ import annotations

import difflib
import logging
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

log = logging.getLogger("qianmian")

PREFIX = "QIANMIAN_"
#: Variables that are no settings, read where they are needed: secrets, places, what a process gives its children.
OTHER_VARIABLES = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("HOME", "LAKE", "PSEUDONYM_KEY", "ALERT_WEBHOOK", "DUCKDB_MEMORY_LIMIT"),
        *("BI_HOME", "BI_KEY_FILE", "BI_PASSWORD"),
    )
)
#: Of the tests and of CI: where they work, how often they try.
TEST_VARIABLES = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("SHARED_DATA", "BACKFILL_DAYS", "FUZZ_EXAMPLES", "FUZZ_RUNS", "KILLS", "KILL_ROUNDS", "PUBLISHES"),
        "SEED",
    )
)
_OF_TESTS = f"{PREFIX}TEST_"
# For a service that is named qianmian or qianmian-…, Kubernetes sets such variables in every container.
_OF_KUBERNETES = re.compile(r"SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP)")
_ADDRESS_OF_KUBERNETES = re.compile(r"(tcp|udp|sctp)://")
# As difflib measures it. That near is a slip of the finger; less near may be somebody's own (QIANMIAN_IMAGE).
_MISSPELT, _SIMILAR = 0.75, 0.6

_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,30}")
_POSTGRES = re.compile(r"postgres(ql)?://.+|\s*\w+\s*=.+")
_S3 = re.compile(r"s3://[^/]+(/.*)?")
_SPARK = re.compile(r"local(\[(\d+|\*)(\s*,\s*\d+)?\])?|local-cluster\[.+\]|yarn|(spark|k8s)://.+")
_MEMORY = re.compile(r"[1-9]\d*[kmgt]b?", re.IGNORECASE)
#: Airflow and croniter know these names alike.
_CRON_NAMES = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")
_LONGEST_DAYS = 36_500
_LAST_PORT = 65_535


@dataclass(frozen=True)
class Rule:
    """What a setting may be: in words, and as a test of a value that has the setting's type."""

    allowed: str
    holds: Callable[[Any], bool]


def names_a_shop(text: str) -> bool:
    """Tell whether a text can name a shop: it becomes a folder's name."""
    return text.replace("_", "").replace("-", "").isalnum()


def _one_of(*values: str) -> Rule:
    return Rule(f"one of {', '.join(values)}", values.__contains__)


def _whole(low: int, high: int) -> Rule:
    return Rule(f"a whole number from {low} to {high}", lambda value: low <= value <= high)


def _share(*, also_one: bool) -> Rule:
    # A NaN, which TOML and the environment can say, is in no interval.
    return Rule(
        f"a number from 0 to {'' if also_one else 'below '}1",
        lambda value: 0 <= value < 1 or (also_one and value == 1),
    )


def _text(allowed: str, holds: Callable[[str], object], *, may_be_empty: bool = True) -> Rule:
    more = ", or empty" if may_be_empty else ""
    return Rule(f"{allowed}{more}", lambda text: may_be_empty if text == "" else bool(holds(text)))


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_time_of_day(text: str) -> bool:
    try:
        datetime.strptime(text, "%H:%M")
    except ValueError:
        return False
    return True


def _is_cron(text: str) -> bool:
    # Airflow's own parser; loading it takes a tenth of a second.
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    try:
        # The next moment as well: 31 February is a cron, and never comes.
        croniter(text, datetime(2024, 1, 1)).get_next()
    except CroniterError:
        return False
    return len(text.split()) == 5 or text in _CRON_NAMES


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_folder_or(is_address: Callable[[str], object]) -> Callable[[str], object]:
    return lambda text: "://" not in text or is_address(text)


def _are_spark_options(text: str) -> bool:
    try:
        return all(part.startswith("spark.") and "=" in part for part in shlex.split(text))
    except ValueError:
        return False


_CRON = _text("a cron of five fields (UTC) such as 0 2 * * *", _is_cron)
_DAYS = Rule(
    f"a whole number of days from 0 (for ever) to {_LONGEST_DAYS}", lambda value: 0 <= value <= _LONGEST_DAYS
)
_HOURS = Rule("a whole number of hours from 0 (no limit) to 8760", lambda value: 0 <= value <= 8760)
_PORT = _whole(0, _LAST_PORT)

#: One for each setting. What is written twice, here and where it is used, is held together by a test.
RULES: Mapping[str, Rule] = {
    "adapter": _one_of("completejourney", "feeds", "online_retail", "simulated"),
    "source": _text("a folder or s3://bucket/prefix", _is_folder_or(_S3.fullmatch)),
    "s3_endpoint_url": _text("an address that begins with http:// or https://", _is_web_address),
    "default_as_of": _text("a day such as 2026-10-31", _is_day),
    "currency": _text("a code of ISO 4217 such as EUR", re.compile("[A-Z]{3}").fullmatch, may_be_empty=False),
    "time_zone": _text(
        "a time zone's name in the IANA database such as Asia/Shanghai, Europe/London or UTC",
        lambda text: text in available_timezones(),
        may_be_empty=False,
    ),
    "text_encoder": _text("a model's name or path", str.strip, may_be_empty=False),
    "portrait_writer": _text("template, or a model's name or path", str.strip, may_be_empty=False),
    "list_variety": _share(also_one=False),
    "exploration_slots": _whole(0, 1000),
    "text_fine_tuning": _one_of("lora", "full", "off"),
    "text_fine_tuning_seconds": _whole(1, 604_800),
    "recommender_training_seconds": _whole(1, 604_800),
    "postgres_target": _text("PostgreSQL's address as libpq writes it (postgresql://…)", _POSTGRES.fullmatch),
    "postgres_schema": _text(
        "a schema's name of lower-case letters, digits and _ (at most 31)", _SCHEMA.fullmatch, may_be_empty=False
    ),
    "postgres_reader_role": _text("a role's name (at most 63 bytes)", lambda text: len(text.encode()) <= 63),
    "s3_target": _text("s3://bucket/prefix", _S3.fullmatch),
    "keep_history_days": _DAYS,
    "keep_quarantine_days": _DAYS,
    "keep_reports_days": _DAYS,
    "max_quarantined_share": _share(also_one=True),
    "simulated_users": _whole(100, 10_000_000),
    "simulated_seed": _whole(0, 2**32 - 1),
    "spark_master": _text(
        "local[2] and the like, spark://host:7077, k8s://… or yarn", _SPARK.fullmatch, may_be_empty=False
    ),
    "spark_driver_memory": _text("memory such as 2g or 512m", _MEMORY.fullmatch, may_be_empty=False),
    "spark_options": _text("options of Spark as name=value, such as spark.executor.memory=4g", _are_spark_options),
    "task_timeout_hours": _HOURS,
    "training_timeout_hours": _HOURS,
    "schedule": _CRON,
    "train_schedule": _CRON,
    "forget_schedule": _CRON,
    "publish_by": _text("a time of day hh:mm (UTC) such as 06:00", _is_time_of_day),
    "alert_format": _one_of("json", "slack", "feishu", "dingtalk", "wecom"),
    "lineage": _text(
        "a file's path or an address that begins with http:// or https://", _is_folder_or(_is_web_address)
    ),
    "daily_shop": _text("a shop's name of letters, digits, _ and -", names_a_shop, may_be_empty=False),
    "airflow_port": _PORT,
    "preview_port": _PORT,
    "superset_port": _PORT,
}


def nearest(name: str, known: Iterable[str], likeness: float = _SIMILAR) -> str:
    """Return the known name that a name is most like; empty where none is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, likeness)), "")


def misspelt_variables(environ: Mapping[str, str], settings: Iterable[str]) -> dict[str, str]:
    """Return the variables that nothing reads and that are surely meant for another, with that other's name.

    One that is less like any other may be somebody's own: it is left alone, and the log says so once.
    """
    variables = {f"{PREFIX}{name.upper()}" for name in settings}
    misspelt = {}
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        bare = name.removeprefix(PREFIX)
        if (
            name in OTHER_VARIABLES | TEST_VARIABLES
            or name.upper() in variables
            or name.startswith(_OF_TESTS)
            or _OF_KUBERNETES.search(bare)
            or _ADDRESS_OF_KUBERNETES.match(environ[name])
        ):
            continue
        likely = {variable.removeprefix(PREFIX) for variable in variables | OTHER_VARIABLES}
        if meant := nearest(bare.upper(), likely, _MISSPELT):
            misspelt[name] = f"{PREFIX}{meant}"
        else:
            similar = nearest(bare.upper(), likely)
            _warn_of(name, f"{PREFIX}{similar}" if similar else "")
    return misspelt


@cache
def _warn_of(name: str, similar: str) -> None:
    """Say once that nothing reads a variable; its value may be anything, and is not shown."""
    meant = f" Is {similar} meant?" if similar else ""
    log.warning("the variable %s is set, and nothing reads it.%s", name, meant)

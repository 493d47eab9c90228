"""Superset's configuration. It is read inside Superset's own environment (`.venv-bi`) and imports nothing of ours.

`bi/superset_process.py` gives the QIANMIAN_BI_* variables. https://superset.apache.org/docs/configuration
"""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import duckdb
from duckdb_engine import ConnectionWrapper
from sqlalchemy.engine import URL
from superset.config import TALISMAN_CONFIG as TALISMAN_DEFAULTS

HOME = Path(os.environ["QIANMIAN_BI_HOME"])
SECRET_KEY = Path(os.environ["QIANMIAN_BI_KEY_FILE"]).read_text().strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME / 'superset.db'}"
DATA_DIR = str(HOME)

LANGUAGES = {"en": {"flag": "us", "name": "English"}, "zh": {"flag": "cn", "name": "中文"}}
APP_NAME = "Qianmian 千面"
# One person on the loopback interface: a limit of requests would only stop a dashboard of many charts.
RATELIMIT_ENABLED = False
# A publishing replaces the data while Superset runs: no answer is kept.
CACHE_CONFIG = DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
SQLLAB_TIMEOUT = SUPERSET_WEBSERVER_TIMEOUT = 60
ROW_LIMIT = 50_000
TALISMAN_ENABLED = True
CONTENT_SECURITY_POLICY_WARNING = False


def _to_this_machine_only() -> dict[str, Any]:
    """Superset's content security policy without the hosts that it names: maps, avatars, a counting pixel."""
    talisman: dict[str, Any] = deepcopy(TALISMAN_DEFAULTS)
    policy = talisman["content_security_policy"]
    for name, sources in policy.items():
        if isinstance(sources, list):
            policy[name] = [source for source in sources if source.startswith("'") or source.endswith(":")]
    return talisman


TALISMAN_CONFIG = _to_this_machine_only()


def _attached(warehouse: str, history: str) -> ConnectionWrapper:
    """Open a DuckDB in memory with the warehouse attached to it, read-only.

    `duckdb.connect` to the file itself would go on showing a replaced file for as long as another connection of
    this process has it open. What SQL Lab may read besides: the history that the `..._history` views look at;
    no other file of this machine.
    """
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": "2"}
    )
    connection.execute(f"attach '{warehouse.replace(chr(39), chr(39) * 2)}' as warehouse (read_only)")
    connection.execute("use warehouse")
    connection.execute("set memory_limit = '1GB'")
    connection.execute(f"set allowed_directories = ['{history.replace(chr(39), chr(39) * 2)}']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return ConnectionWrapper(connection)


def DB_CONNECTION_MUTATOR(  # noqa: N802 - Superset's name
    uri: URL, engine: dict[str, Any], *_: Any
) -> tuple[URL, dict[str, Any]]:
    """Let every connection to a DuckDB file be one of `_attached`."""
    if uri.get_backend_name() == "duckdb":
        history = str(Path(str(uri.database)).parent / "lake" / "published")
        engine = {**engine, "creator": lambda: _attached(str(uri.database), history)}
    return uri, engine

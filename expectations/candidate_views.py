"""The candidate tables as the checks see them: views beside those of the lake.

published.<table>   what dbt built in `features.duckdb` for this run
features.<table>    the features behind it
getvariable('users_before')   portraits published for the last earlier day; null before the second day
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import PUBLISHED, features_db, kept_history_file
from qianmian.step import StepError

RESULTS = "data_quality_results"
#: The features that checks look at.
_FEATURES = ("item_features", "user_features", "user_actions", "active_rules")
_NOT_BUILT = "Run the features and tables steps (dbt build) for this day first."


def add_candidate_views(connection: duckdb.DuckDBPyConnection, lake: Path, as_of: str) -> None:
    """Add the views to a connection; those of data_quality_results come with `add_results_view`.

    Raises:
        StepError: a table was not built.

    """
    file = features_db(lake)
    if not file.exists():
        raise StepError(f"{file} is not there.", _NOT_BUILT)
    quoted = str(file).replace("'", "''")
    connection.execute(f"attach '{quoted}' as built (read_only)")
    for schema, names in (("published", tuple(PUBLISHED)), ("features", _FEATURES)):
        connection.execute(f"create schema {schema}")
        for name in names:
            if name != RESULTS:
                _add_view(connection, schema, name)
    users = _users_before(lake, as_of)
    connection.execute(f"set variable users_before = {'null' if users is None else users}")


def _add_view(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
    try:
        rows = connection.table(f"built.{schema}.{name}")
    except duckdb.CatalogException:
        raise StepError(f"The table {schema}.{name} was not built.", _NOT_BUILT) from None
    connection.execute(f"use {schema}")
    rows.create_view(name)
    connection.execute("use main")


def add_results_view(connection: duckdb.DuckDBPyConnection, results: pa.Table, as_of: str, run_id: str) -> None:
    """Add published.data_quality_results as it will be published, with the results so far."""
    connection.register("arrow_results", results)
    connection.execute("create table results as from arrow_results")
    quoted = run_id.replace("'", "''")
    rows = connection.table("results").project(
        f"*, date '{as_of}' as as_of_date, '{quoted}' as run_id, cast(null as timestamp) as generated_at"
    )
    connection.execute("use published")
    rows.create_view(RESULTS)
    connection.execute("use main")


def _users_before(lake: Path, as_of: str) -> int | None:
    """Count the portraits of the last earlier day, as it was published last."""
    records = [json.loads(file.read_text()) for file in (lake / "published" / "pipeline_runs").glob("*.json")]
    earlier = [run for run in records if run["status"] == "published" and run["as_of_date"] < as_of]
    if not earlier:
        return None
    last = max(earlier, key=lambda run: (run["as_of_date"], run["published_at"], run["run_id"]))
    published_at = datetime.fromisoformat(last["published_at"])
    file = kept_history_file(lake, "user_portraits", last["as_of_date"], last["run_id"], published_at)
    return pq.read_metadata(file).num_rows if file.exists() else None

"""Superset's datasets, one a published table: `python -m bi.datasets` renews their columns from the contract.

What stands in a file beside its columns (metrics, computed columns, the SQL of a dataset that joins tables) is
written by hand and kept.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import yaml

from expectations.tables import DATA_FRESHNESS, HISTORIES, PIPELINE_RUNS, PUBLISHED, REFUSED_CHECKS, Table

ASSETS = Path(__file__).with_name("superset")
DATABASE_UUID = "6f1d9a3e-5c0b-5b1e-9a77-2f1f3c0c5f01"
#: The schema of a DuckDB file; `bi/assets.py` writes PostgreSQL's where that is read.
SCHEMA = "main"

#: Every table and view that BI may read.
TABLES: dict[str, Table] = {
    table.name: table
    for table in (*PUBLISHED.values(), *HISTORIES.values(), PIPELINE_RUNS, REFUSED_CHECKS, DATA_FRESHNESS)
}
#: The day that a dataset is looked at by, first found.
_TIMES = ("as_of_date", "generated_at")


def asset_uuid(kind: str, name: str) -> str:
    """Id of a file's asset in any Superset, the same on every machine: importing again replaces it."""
    return str(uuid.uuid5(uuid.UUID(DATABASE_UUID), f"{kind}/{name}"))


def dataset(table: Table, kept: dict[str, Any]) -> dict[str, Any]:
    """Return a table's dataset in Superset's export format, with what the file has beside the columns."""
    computed = [column for column in kept.get("columns", []) if column.get("expression")]
    names = table.column_names
    return {
        "table_name": table.name,
        "description": f"{table.description} Key: {', '.join(table.key)}.",
        "main_dttm_col": next((name for name in _TIMES if name in names), None),
        "schema": SCHEMA,
        "sql": None,
        "uuid": asset_uuid("dataset", table.name),
        "metrics": kept.get("metrics") or [metric("rows", "count(*)", "Rows · 行数")],
        "columns": [
            {
                "column_name": column.name,
                "type": column.duckdb_type,
                "is_dttm": column.type in ("date", "timestamp"),
                "description": column.description,
            }
            for column in table.columns
        ]
        + computed,
        "version": "1.0.0",
        "database_uuid": DATABASE_UUID,
    }


def metric(name: str, expression: str, label: str, number_format: str = ",d") -> dict[str, Any]:
    """Return a saved metric: one definition for every chart that shows it."""
    return {"metric_name": name, "verbose_name": label, "expression": expression, "d3format": number_format}


def read(file: Path) -> dict[str, Any]:
    """Return a YAML file's mapping; an empty one where there is no file."""
    return dict(yaml.safe_load(file.read_text())) if file.exists() else {}


def write(file: Path, asset: dict[str, Any]) -> None:
    """Write an asset as people read it: its own order, Chinese as Chinese, SQL over its lines."""
    file.write_text(yaml.dump(asset, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> None:
    """Renew every table's file."""
    for table in TABLES.values():
        file = ASSETS / "datasets" / f"{table.name}.yaml"
        write(file, dataset(table, read(file)))


if __name__ == "__main__":
    main()

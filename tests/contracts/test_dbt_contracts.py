"""dbt's yml and `expectations/tables/` tell of the same tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from expectations.tables import CLEAN, FEATURES, OUTPUTS, PUBLISHED, Column, Table

MODELS = Path(__file__).resolve().parents[2] / "dbt_project" / "models"

DUCKDB_TYPES = {
    "string": "varchar",
    "timestamp": "timestamp",
    "date": "date",
    "boolean": "boolean",
    "integer": "bigint",
    "double": "double",
}
#: The checks' results are written after dbt is done, by the checks.
NOT_DBTS = {"quarantine", "data_quality_results"}
MODEL_VERSION = Column("model_version", "string", "Version of the model behind the row.")

MARTS = {
    (layer, name): table
    for layer, tables in (("features", FEATURES), ("published", PUBLISHED))
    for name, table in tables.items()
    if name not in NOT_DBTS
}


def load(path: Path, kind: str) -> list[dict[str, Any]]:
    return yaml.safe_load(path.read_text())[kind]


def one_line(text: str) -> str:
    return " ".join(text.split())


def columns_in_yml(node: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(c["name"], c["data_type"], one_line(c["description"])) for c in node["columns"]]


def columns_wanted(columns: tuple[Column, ...]) -> list[tuple[str, str, str]]:
    return [(c.name, DUCKDB_TYPES.get(c.type, c.type), one_line(c.description)) for c in columns]


@pytest.mark.parametrize(("layer", "table"), MARTS.items(), ids=lambda value: str(value)[:40])
class TestMart:
    def node(self, layer: tuple[str, str]) -> dict[str, Any]:
        folder, name = layer
        [node] = load(MODELS / "marts" / folder / f"{name}.yml", "models")
        assert node["name"] == name
        return node

    def test_columns_types_and_descriptions_are_the_tables(self, layer: tuple[str, str], table: Table) -> None:
        assert columns_in_yml(self.node(layer)) == columns_wanted(table.columns)

    def test_description_begins_with_the_tables(self, layer: tuple[str, str], table: Table) -> None:
        assert one_line(self.node(layer)["description"]).startswith(one_line(table.description))

    def test_not_null_is_where_the_table_says_required(self, layer: tuple[str, str], table: Table) -> None:
        not_null = [
            column["name"]
            for column in self.node(layer)["columns"]
            if {"type": "not_null"} in column.get("constraints", [])
        ]
        assert tuple(not_null) == table.required

    def test_key_is_tested(self, layer: tuple[str, str], table: Table) -> None:
        keys = [
            test["unique_key"]["arguments"]["columns"]
            for test in self.node(layer)["data_tests"]
            if "unique_key" in test
        ]
        assert keys == [list(table.key)]


@pytest.mark.parametrize("layer", ["features", "published"])
def test_no_mart_is_missing_and_none_is_made_up(layer: str) -> None:
    sql = {path.stem for path in (MODELS / "marts" / layer).glob("*.sql")}
    assert sql == {name for folder, name in MARTS if folder == layer}


@pytest.mark.parametrize(
    ("path", "tables", "more"),
    [("staging/clean.yml", CLEAN, ()), ("marts/published/outputs.yml", OUTPUTS, (MODEL_VERSION,))],
    ids=["clean", "outputs"],
)
def test_sources_are_the_lakes_tables(path: str, tables: dict[str, Table], more: tuple[Column, ...]) -> None:
    [source] = load(MODELS / path, "sources")
    found = {node["name"]: node for node in source["tables"]}
    wanted = {name: table for name, table in tables.items() if name not in NOT_DBTS}
    assert list(found) == list(wanted)
    for name, table in wanted.items():
        assert one_line(found[name]["description"]) == one_line(table.description)
        assert columns_in_yml(found[name]) == columns_wanted(table.columns + more)

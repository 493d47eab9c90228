"""The dashboard's files hang together, and say of the tables what the contract says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bi.assets import write_for
from bi.datasets import ASSETS, DATABASE_UUID, TABLES, asset_uuid, dataset, read
from bi.source import Source

Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]
BOTH = re.compile(r"[A-Za-z].* · .*[\u4e00-\u9fff]")


def assets(kind: str) -> dict[str, dict[str, Any]]:
    return {file.stem: read(file) for file in sorted((ASSETS / kind).glob("*.yaml"))}


DATASETS, CHARTS = assets("datasets"), assets("charts")
[DASHBOARD] = assets("dashboards").values()
BY_UUID = {made["uuid"]: made for made in DATASETS.values()}
VIRTUAL = {name: made for name, made in DATASETS.items() if made["sql"]}
PLACED = {
    node["meta"]["uuid"]: node
    for node in DASHBOARD["position"].values()
    if isinstance(node, dict) and node["type"] == "CHART"
}


@pytest.mark.parametrize("name", TABLES)
def test_a_tables_dataset_is_the_contracts(name: str) -> None:
    made = DATASETS[name]
    assert made == dataset(TABLES[name], made), "renew it: python -m bi.datasets"


def test_every_dataset_is_a_table_or_a_query() -> None:
    assert set(DATASETS) == {*TABLES, *VIRTUAL}


@pytest.mark.parametrize("name", VIRTUAL)
def test_a_querys_columns_are_those_that_it_returns(name: str, ask: Ask) -> None:
    columns, rows = ask(VIRTUAL[name]["sql"])
    assert columns == [column["column_name"] for column in VIRTUAL[name]["columns"]]
    assert rows
    assert all(column["description"] for column in VIRTUAL[name]["columns"])


@pytest.mark.parametrize("name", DATASETS)
def test_metrics_and_computed_columns_are_sql_of_both_databases(name: str, ask: Ask) -> None:
    made = DATASETS[name]
    source = f"({made['sql']}) as q" if made["sql"] else name
    for metric in made["metrics"]:
        ask(f"select {metric['expression']} from {source}")
        assert BOTH.search(metric["verbose_name"])
    for column in made["columns"]:
        if column.get("expression"):
            ask(f"select {column['expression']} from {source}")


def named(params: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The columns and the saved metrics that a chart names."""
    metrics = [*params.get("metrics", []), params.get("metric"), params.get("timeseries_limit_metric")]
    groupby = params.get("groupby", [])
    columns = [
        *([groupby] if isinstance(groupby, str) else groupby),
        *params.get("all_columns", []),
        params.get("x_axis"),
    ]
    sorted_by = [json.loads(order)[0] for order in params.get("order_by_cols", [])]
    return {c for c in (*columns, *sorted_by) if c}, {m for m in metrics if m}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_names_what_its_dataset_has(name: str) -> None:
    chart = CHARTS[name]
    made = BY_UUID[chart["dataset_uuid"]]
    columns, metrics = named(chart["params"])
    assert columns | metrics
    assert columns <= {column["column_name"] for column in made["columns"]}
    assert metrics <= {metric["metric_name"] for metric in made["metrics"]}
    assert chart["viz_type"] == chart["params"]["viz_type"]
    assert BOTH.search(chart["slice_name"])


@pytest.mark.parametrize("name", CHARTS)
def test_a_charts_conditions_are_sql_of_both_databases(name: str, ask: Ask) -> None:
    made = BY_UUID[CHARTS[name]["dataset_uuid"]]
    source = f"({made['sql']}) as q" if made["sql"] else made["table_name"]
    for condition in CHARTS[name]["params"].get("adhoc_filters", []):
        ask(f"select 1 from {source} where {condition['sqlExpression']}")


def test_every_chart_stands_on_the_dashboard_once() -> None:
    assert sorted(PLACED) == sorted(chart["uuid"] for chart in CHARTS.values())
    titles = {chart["uuid"]: chart["slice_name"] for chart in CHARTS.values()}
    assert {uuid: node["meta"]["sliceName"] for uuid, node in PLACED.items()} == titles


def test_rows_are_twelve_wide_and_every_child_is_there() -> None:
    position = DASHBOARD["position"]
    for node in position.values():
        if isinstance(node, dict):
            assert all(child in position for child in node.get("children", []))
            if node["type"] == "ROW":
                assert sum(position[child]["meta"]["width"] for child in node["children"]) == 12, node["id"]
            if node["type"] == "TAB":
                assert BOTH.search(node["meta"]["text"])


def test_ids_are_made_from_names() -> None:
    for kind, made in (("dataset", DATASETS), ("chart", CHARTS), ("dashboard", assets("dashboards"))):
        assert {name: asset["uuid"] for name, asset in made.items()} == {
            name: asset_uuid(kind, name) for name in made
        }
    assert {made["database_uuid"] for made in DATASETS.values()} == {DATABASE_UUID}


def test_the_files_for_a_shop_have_its_address_and_schema(tmp_path: Path) -> None:
    (tmp_path / "import").mkdir()
    (tmp_path / "import" / "stale.yaml").write_text("of an earlier release")
    write_for(Source("postgresql+psycopg2://reader@db/bi", "shop_tables", "db"), "mine", tmp_path / "import")
    database = read(tmp_path / "import" / "databases" / "qianmian.yaml")
    assert (database["database_name"], database["sqlalchemy_uri"]) == (
        "Qianmian mine",
        "postgresql+psycopg2://reader@db/bi",
    )
    assert not any(database[right] for right in ("allow_dml", "allow_ctas", "allow_cvas", "allow_file_upload"))
    written = list((tmp_path / "import").rglob("*.yaml"))
    assert {file.name for file in written} == {file.name for file in ASSETS.rglob("*.yaml")}
    schemas = {read(file)["schema"] for file in (tmp_path / "import" / "datasets").iterdir()}
    assert schemas == {"shop_tables"}

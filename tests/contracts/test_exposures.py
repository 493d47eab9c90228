"""dbt's exposures say who reads the published tables: held against what each reader really reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bi.example_queries import example_queries
from expectations.tables import DATA_FRESHNESS, HISTORIES, PIPELINE_RUNS, PUBLISHED, REFUSED_CHECKS
from warehouse.targets.source import RUN_TABLES

ROOT = Path(__file__).resolve().parents[2]
BESIDE = {PIPELINE_RUNS.name, REFUSED_CHECKS.name, DATA_FRESHNESS.name, *(one.name for one in HISTORIES.values())}
EVERY = {*PUBLISHED, *BESIDE}
NOT_OF_DBT = BESIDE | {"data_quality_results"}


def exposures() -> dict[str, dict[str, Any]]:
    file = ROOT / "dbt_project" / "models" / "exposures.yml"
    return {node["name"]: node for node in yaml.safe_load(file.read_text())["exposures"]}


def read_by(name: str) -> set[str]:
    """The tables that an exposure says it reads."""
    node = exposures()[name]
    refs = {re.fullmatch(r"ref\('(\w+)'\)", ref)[1] for ref in node["depends_on"]}  # type: ignore[index]
    beside = set(node["config"]["meta"]["not_of_dbt"])
    assert refs <= set(PUBLISHED) - NOT_OF_DBT
    assert beside <= NOT_OF_DBT
    return refs | beside


def tables_in(sql: str) -> set[str]:
    return set(re.findall(r"\b(?:from|join)\s+(\w+)", sql)) & EVERY


def test_every_published_table_is_read_by_somebody_who_is_named() -> None:
    assert set().union(*map(read_by, exposures())) == EVERY


def test_each_names_its_owner_and_how_far_it_may_be_relied_on() -> None:
    for node in exposures().values():
        assert node["owner"]["name"]
        assert node["maturity"] in ("low", "medium", "high")
        assert node["description"].strip().endswith(".")


def test_the_dashboard_reads_what_it_says() -> None:
    folder = ROOT / "bi" / "superset"
    datasets = {
        d["uuid"]: d for d in (yaml.safe_load(f.read_text()) for f in (folder / "datasets").glob("*.yaml"))
    }
    charts = [yaml.safe_load(file.read_text()) for file in (folder / "charts").glob("*.yaml")]
    assert charts
    used = [datasets[chart["dataset_uuid"]] for chart in charts]
    found = set().union(*(tables_in(d["sql"]) if d["sql"] else {d["table_name"]} for d in used))
    assert found == read_by("superset_dashboard")


def test_the_example_queries_read_what_they_say() -> None:
    assert set().union(*(tables_in(query.sql) for query in example_queries())) == read_by("example_queries")


def test_the_preview_reads_what_it_says() -> None:
    code = "\n".join(file.read_text() for file in (ROOT / "preview").glob("*.py"))
    assert {name for name in EVERY if re.search(rf"\b{name}\b", code)} == read_by("preview_page")


def test_targets_get_every_table() -> None:
    assert read_by("postgresql_target") == EVERY
    # S3 has each day of history as files of its own, and no views.
    assert read_by("s3_target") == {*PUBLISHED, *RUN_TABLES}

"""The project's text: every model and column described, and no clock read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
SQL = sorted(path for path in PROJECT.rglob("*.sql") if "target" not in path.parts)
MODELS = [path for path in SQL if "models" in path.parts]
CLOCK = re.compile(
    r"\b(now|today|current_date|current_timestamp|localtimestamp|get_current_\w+|random|uuid)\b", re.I
)


def test_the_folder_is_not_empty() -> None:
    assert len(MODELS) > 30


@pytest.mark.parametrize("path", SQL, ids=lambda path: path.stem)
def test_no_clock_and_no_chance(path: Path) -> None:
    code = re.sub(r"--.*", "", re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.S))
    assert not CLOCK.search(code)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_model_and_columns_are_described_beside_it(path: Path) -> None:
    [model] = yaml.safe_load(path.with_suffix(".yml").read_text())["models"]
    assert model["name"] == path.stem
    assert model["description"].strip()
    assert model["columns"]
    assert all(column["description"].strip() for column in model["columns"])

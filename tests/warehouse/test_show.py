"""The excerpt that `make run` ends with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qianmian.step import StepError
from tests.candidate_tables import user_id
from warehouse.show import main, show
from warehouse.text_table import display_width, text_table, wrapped


def test_wide_characters_take_two_columns() -> None:
    assert display_width("千面 AI") == 7
    assert display_width("é") == 1


def test_wrapping() -> None:
    assert wrapped("because you bought a kettle", 12) == ["because you", "bought a", "kettle"]
    assert wrapped("因为您买过蓝色水壶", 8) == ["因为您买", "过蓝色水", "壶"]
    assert wrapped("see 因为您买过蓝色水壶", 10) == ["see 因为您", "买过蓝色水", "壶"]


def test_columns_align_whatever_the_script() -> None:
    assert text_table(("#", "item", "why"), [(1, "水壶", "a b"), (10, "kettle", "c")], 60) == [
        "#   item    why",
        "-" * 60,
        "1   水壶    a b",
        "10  kettle  c",
    ]


def test_a_portrait_and_ten_reasons(run_day: Callable[..., Any], warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    text = show(warehouse)
    lines = text.splitlines()
    assert lines[0] == f"User {user_id(0)} as of 2026-10-31 (run r1)"
    assert max(display_width(line) for line in lines) <= 100
    assert re.search(r"favorite category +厨房", text)
    assert re.search(r"orders 7/30/90/365 days +1 / 2 / 2 / 5", text)
    assert text.count("Because you bought a blue kettle") == 10
    assert "50.00%" in text
    assert "因为您买过蓝色水壶" in show(warehouse, user_id(1), lang="zh")


def test_a_user_that_is_not_there(run_day: Callable[..., Any], warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    with pytest.raises(StepError, match="no user nobody"):
        show(warehouse, "nobody")


def test_no_warehouse(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--warehouse", str(warehouse)])
    assert ended.value.code == 2
    assert "WHAT TO DO: Publish a run first" in capsys.readouterr().err

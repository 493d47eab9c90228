"""A shop for all tests of cleaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.spark_jobs.small_shop import KEY, SmallShop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: Any) -> SmallShop:
    """An empty shop."""
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
    return SmallShop(tmp_path)

"""One Spark for all tests of cleaning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.session import spark_session
from tests.spark_jobs.small_shop import KEY, SmallShop


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Spark on the bundled Java, as on a machine that has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAVA_HOME", raising=False)
        with spark_session("tests", tmp_path_factory.mktemp("spark"), "local[2]", "1g") as session:
            yield session


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: Any) -> SmallShop:
    """An empty shop."""
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
    return SmallShop(tmp_path)

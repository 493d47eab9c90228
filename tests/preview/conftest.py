"""A small shop published for three days, and readings of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from preview.reading import Reading, open_reading
from tests.preview.small_shop import DAYS, publish_day


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of one shop, called simulated, with three days published."""
    home = tmp_path_factory.mktemp("preview")
    for number, day in enumerate(DAYS):
        publish_day(home / "simulated", day, f"run-{day}", number)
    return home


@pytest.fixture
def read(published: Path) -> Iterator[Callable[..., Reading]]:
    """Open a day, the latest one without."""
    with ExitStack() as stack:

        def open_day(day: str | None = None) -> Reading:
            shop = published / "simulated"
            asked = date.fromisoformat(day) if day else None
            return stack.enter_context(open_reading(shop / "warehouse.duckdb", shop / "lake", asked))

        yield open_day

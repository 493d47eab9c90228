"""What tests of every part share: the real data's place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return the folder of one real data set; the test skips, saying so, where it is absent."""
    base = Path(os.environ.get("QIANMIAN_SHARED_DATA") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        folder = base / name
        if not folder.is_dir():
            pytest.skip(f"real data not here: {name} (set QIANMIAN_SHARED_DATA)")
        return folder

    return find

"""A small published shop, and Superset on it as `make bi` starts it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from qianmian.files import write_private
from qianmian.postgres import Postgres
from tests.bi.conftest import PASSWORD, READER, SCHEMA, address, publish_shop, publish_to
from tests.chromium import FLAGS
from tests.preview.small_shop import DAYS

ROOT = Path(__file__).resolve().parents[3]
START_PATIENCE_S = 240


@dataclass(frozen=True)
class Served:
    """A running Superset: what it reads, where it is, and its administrator's password."""

    reads: str
    url: str
    password: str


@dataclass(frozen=True)
class Shop:
    """The shop that Superset reads; a test publishes its last day."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "simulated"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """All days but the last, and a secret that nobody may read through Superset."""
    if not (ROOT / ".venv-bi" / "bin" / "gunicorn").exists():
        pytest.skip("Superset is not installed: `make test-bi` does so")
    shop = Shop(tmp_path_factory.mktemp("superset"))
    publish_shop(shop.home, DAYS[:-1])
    write_private(shop.home / "secrets" / "pseudonym.key", "a key that only the tests know")
    return shop


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`, then run the tests again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def served(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Served]:
    """Superset on the DuckDB file, then on PostgreSQL."""
    environ = {**os.environ, "QIANMIAN_HOME": str(shop.home), "PGPASSWORD": PASSWORD}
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("server")
        publish_to(server, shop.warehouse)
        environ |= {
            "QIANMIAN_POSTGRES_TARGET": address(server),
            "QIANMIAN_POSTGRES_SCHEMA": SCHEMA,
            "QIANMIAN_POSTGRES_READER_ROLE": READER,
        }
    log = shop.home / f"superset_{request.param}.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "bi", "--shop", "simulated"],
        cwd=ROOT,
        env=environ,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + START_PATIENCE_S
        while not (
            found := re.search(r"(http://127\.0\.0\.1:\d+)\S* +user admin +password (\S+)", log.read_text())
        ):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield Served(request.param, found[1], found[2])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)

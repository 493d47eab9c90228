"""What tests of every part share: the real data's place, an S3-compatible server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent

# pyspark takes a process whose main module has no file, as those of pytest-xdist, for one that runs doctests, and
# ends it where it is asked for Spark Connect's classes.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__


#: Folders whose files take longest, longest first: last, they would leave a process alone at the end.
SLOW = ("spark_jobs", "privacy", "dbt_project", "robustness", "warehouse", "ml")
#: Files that ask for the Spark that tests share: its first cleanings cost five times what later ones do.
ON_SPARK = {
    *(f"spark_jobs/test_{name}.py" for name in ("any_feeds", "bad_rows", "bots", "cluster", "duplicates")),
    *(f"spark_jobs/test_{name}.py" for name in ("incremental", "refusals")),
    *("privacy/test_forgetting.py", "privacy/test_retention.py", "robustness/test_full_disk.py"),
}


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps a file's tests in one process, and all files that ask for Spark."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0].removeprefix("tests/")
        return "on Spark" if file in ON_SPARK else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Say how several processes share the tests."""
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put Spark and the slow folders first, for several processes to share (with --no-loadscope-reorder)."""
    rank = {ROOT / "tests" / name: number for number, name in enumerate(SLOW)}

    def place(item: pytest.Item) -> tuple[bool, int]:
        is_on_spark = item.path.relative_to(ROOT / "tests").as_posix() in ON_SPARK
        return not is_on_spark, min((rank[up] for up in item.path.parents if up in rank), default=len(SLOW))

    items.sort(key=place)


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


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Spark for all tests of a process, on the bundled Java, as on a machine that has none."""
    from spark_jobs.session import spark_session

    # Dozens of cleanings: worth compiling as well as can be, and keeping what one had compiled for the next.
    options = "spark.sql.codegen.cache.maxEntries=5000 spark.driver.defaultJavaOptions=-XX:+UseSerialGC"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAVA_HOME", raising=False)
        scratch = tmp_path_factory.mktemp("spark")
        with spark_session("tests", scratch, "local[2]", "1g", landed_bytes=1 << 30, options=options) as session:
            session.conf.set("spark.sql.shuffle.partitions", 2)
            yield session


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 find credentials, which the server of the tests takes whatever they are."""
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of a real S3-compatible server on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()

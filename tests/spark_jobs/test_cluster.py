"""Cleaning on a real cluster, a master and a worker of Spark's own, as docs/cluster.md describes it.

The worker shares nothing with the driver but the file system, the project and Python: it has another working
folder, an environment of its own and other local disks.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest

from expectations.tables import CLEAN
from qianmian.step import StepError
from spark_jobs import clean
from spark_jobs.clean_entities import clean_entities, stale_entities
from spark_jobs.cleaning import Lake
from spark_jobs.java import java_home
from spark_jobs.session import read_options
from tests.spark_jobs.small_shop import KEY, SmallShop
from tests.spark_jobs.test_incremental import THIRD, everything, versions, write_first_days, write_third_day

SPARK_HOME = Path(pyspark.__file__).parent
LOOPBACK = "127.0.0.1"
OPTIONS = f"spark.executor.memory=600m spark.executor.cores=1 spark.driver.host={LOOPBACK}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a master with one worker, whose files lie under `worker/`."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    folder = tmp_path / "worker"
    folder.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "JAVA_HOME": str(java_home(folder)),
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_DIRS": str(folder / "disk"),
    }
    port = free_port()
    address = f"spark://{LOOPBACK}:{port}"
    of_all = ("--host", LOOPBACK, "--webui-port", "0")
    commands = (
        ("org.apache.spark.deploy.master.Master", *of_all, "--port", str(port)),
        ("org.apache.spark.deploy.worker.Worker", *of_all, "--cores", "2", "--memory", "1g", "--work-dir",
         str(folder / "work"), address),
    )  # fmt: skip
    running = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.log").open("wb") as log:
                spark_class = [str(SPARK_HOME / "bin" / "spark-class"), *command]
                running.append(
                    subprocess.Popen(
                        spark_class, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
                    )
                )
        deadline = time.monotonic() + 120
        while "Registering worker" not in (folder / f"{commands[0][0]}.log").read_text():
            assert time.monotonic() < deadline, (folder / f"{commands[1][0]}.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            process.wait(60)


def test_a_cluster_cleans_a_day_to_the_same_rows(
    shop: SmallShop, cluster: str, tmp_path: Path, spark: Any
) -> None:
    write_first_days(shop)
    write_third_day(shop)
    for feed in ("campaign_contacts", "reviews"):  # they go the way of events, and cost as much
        shutil.rmtree(shop.source / feed)
    shop.land()
    lake = Lake(shop.args())
    clean_entities(spark, lake, stale_entities(lake), 0.2)  # once, here: they go the way of the actions too
    there = SmallShop(tmp_path / "there")
    shutil.copytree(shop.lake, there.lake)
    clean.main(shop.args())

    command = [sys.executable, "-m", "spark_jobs.clean", f"--lake={there.lake}", f"--as-of={THIRD}"]
    command += [f"--master={cluster}", "--driver-memory=600m", f"--spark-options={OPTIONS}"]
    environ = {**os.environ, "QIANMIAN_PSEUDONYM_KEY": KEY, "SPARK_LOCAL_IP": LOOPBACK}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert everything(there) == everything(shop)
    assert versions(there) == versions(shop)
    assert not list((there.lake / "clean").rglob("_temporary")), "nothing half written is left"
    assert {path.name for path in (there.lake / "clean").iterdir() if path.is_dir()} == {*CLEAN}
    (executor,) = (tmp_path / "worker" / "work").glob("app-*/*/stderr")
    assert '"-Xmx600M"' in executor.read_text(), "the options reach the executors"
    assert any((tmp_path / "worker" / "disk").iterdir()), "which write aside on the disks of their machine"


def test_options_are_read_as_a_shell_reads_them() -> None:
    assert read_options("") == {}
    text = "spark.executor.memory=4g 'spark.executor.extraJavaOptions=-Da=1 -Db=2' spark.x="
    assert read_options(text) == {
        "spark.executor.memory": "4g",
        "spark.executor.extraJavaOptions": "-Da=1 -Db=2",
        "spark.x": "",
    }


@pytest.mark.parametrize("text", ["spark.executor.memory 4g", "executor.memory=4g", "spark.x='4g"])
def test_what_is_no_option_is_told(text: str) -> None:
    with pytest.raises(StepError, match="spark_options"):
        read_options(text)

"""The only place that makes a SparkSession."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spark_jobs.java import java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent


@contextmanager
def spark_session(
    app: str, scratch: Path, master: str = "local[2]", driver_memory: str = "2g"
) -> Iterator[SparkSession]:
    """Start Spark, hand it out, stop it; all it writes aside lies under `scratch`, emptied before and after.

    `master` is `local[cores]` or a cluster's URL. Timestamps are UTC throughout, and nothing is served to the
    network: no UI, everything on the loopback address.
    """
    scratch = scratch.resolve()
    shutil.rmtree(scratch, ignore_errors=True)  # left by a killed run
    scratch.mkdir(parents=True)
    os.environ["JAVA_HOME"] = str(java_home(scratch))
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if master.startswith("local"):
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    # The readers run in Python processes of their own, which must find this package.
    python_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    os.environ["PYTHONPATH"] = python_path

    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": driver_memory,
        "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={scratch} -XX:TieredStopAtLevel=1",
        "spark.executorEnv.PYTHONPATH": python_path,
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",  # a cast that may fail says so: try_cast
        "spark.sql.shuffle.partitions": "8",  # raised by adaptive execution's splitting, not by hand
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.inMemoryColumnarStorage.compressed": "false",  # read twice or thrice, then gone
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
    }
    builder = SparkSession.builder.appName(app).master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    log.info("Spark %s on %s", spark.version, master)
    try:
        yield spark
    finally:
        spark.stop()
        shutil.rmtree(scratch, ignore_errors=True)

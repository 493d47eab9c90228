"""The only place that makes a SparkSession."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spark_jobs.java import java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

# Landed files may be packed tenfold: 32 MiB of them are some hundreds of MiB of rows.
_LANDED_BYTES_A_TASK = 32 << 20
# Below this a run ends before the JVM's optimising compiler has earned what it costs (measured: a third of the
# processor time of cleaning 100 thousand rows).
_WORTH_OPTIMISING = 256 << 20
PROJECT = Path(__file__).resolve().parent.parent


_LOGGING = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %p Spark: %m%n
"""


@contextmanager
def spark_session(
    app: str, scratch: Path, master: str = "local[2]", driver_memory: str = "2g", landed_bytes: int = 0
) -> Iterator[SparkSession]:
    """Start Spark, hand it out, stop it; all it writes aside lies under `scratch`, emptied before and after.

    `master` is `local[cores]` or a cluster's URL. Timestamps are UTC throughout, and nothing is served to the
    network: no UI, everything on the loopback address. `landed_bytes`, what is to be read, decides how work is
    split. Where this process runs a session already, that one is handed out and left running.
    """
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    scratch = scratch.resolve()
    shutil.rmtree(scratch, ignore_errors=True)  # left by a killed run
    scratch.mkdir(parents=True)
    (scratch / "log4j2.properties").write_text(_LOGGING)
    # Said at each start, and of no concern: no DataFrame of pandas passes through Spark here.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    os.environ["JAVA_HOME"] = str(java_home(scratch))
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if master.startswith("local"):
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    # The readers run in Python processes of their own, which must find this package.
    python_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    os.environ["PYTHONPATH"] = python_path

    java_options = [
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile=file:{scratch}/log4j2.properties",
        *_compiler(landed_bytes),
    ]
    settings = {
        "spark.driver.memory": driver_memory,
        "spark.driver.extraJavaOptions": " ".join(java_options),
        "spark.executorEnv.PYTHONPATH": python_path,
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",  # a cast that may fail says so: try_cast
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",  # files are named, not looked for
        "spark.sql.inMemoryColumnarStorage.compressed": "false",  # read twice or thrice, then gone
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
    }
    builder = SparkSession.builder.appName(app).master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    log.info("Spark %s on %s", spark.version, master)
    try:
        spark.conf.set("spark.sql.shuffle.partitions", _shuffle_tasks(spark, landed_bytes))
        yield spark
    finally:
        spark.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def _shuffle_tasks(spark: SparkSession, landed_bytes: int) -> int:
    """One task a core for little data, more where tasks would grow too big."""
    return max(spark.sparkContext.defaultParallelism, landed_bytes // _LANDED_BYTES_A_TASK)


def _compiler(landed_bytes: int) -> list[str]:
    return [] if landed_bytes >= _WORTH_OPTIMISING else ["-XX:TieredStopAtLevel=1"]

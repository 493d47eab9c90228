"""The only place that makes a SparkSession."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qianmian.step import StepError
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
#: What the rows depend on: no option changes it.
_FIXED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # a cast that may fail says so: try_cast
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}

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
    app: str,
    scratch: Path,
    master: str = "local[2]",
    driver_memory: str = "2g",
    landed_bytes: int = 0,
    options: str = "",
) -> Iterator[SparkSession]:
    """Start Spark, hand it out, stop it; what this writes aside lies under `scratch`, emptied before and after.

    Timestamps are UTC throughout. A local Spark serves nothing to the network: no UI, everything on the loopback
    address. Where this process runs a session already, that one is handed out and left running.

    Args:
        app: the session's name.
        scratch: folder of its own.
        master: `local[cores]`, or the URL of a cluster that is as docs/cluster.md asks.
        driver_memory: memory of Spark's driver, such as 2g.
        landed_bytes: what is to be read; decides how work is split.
        options: more of Spark's options, `name=value` with spaces between; see `read_options`.

    Raises:
        StepError: an option is none.

    """
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    given = read_options(options)
    scratch = scratch.resolve()
    shutil.rmtree(scratch, ignore_errors=True)  # left by a killed run
    scratch.mkdir(parents=True)
    (scratch / "log4j2.properties").write_text(_LOGGING)
    # Said at each start, and of no concern: no DataFrame of pandas passes through Spark here.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    os.environ["JAVA_HOME"] = str(java_home(scratch))
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["PYSPARK_PYTHON"] = given.get("spark.pyspark.python", sys.executable)
    # Of this process alone, unlike the option spark.local.dir: a cluster's machines have disks of their own.
    os.environ["SPARK_LOCAL_DIRS"] = str(scratch)
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
        "spark.hadoop.fs.defaultFS": "file:///",  # the lake is a folder here, whatever a cluster's own store is
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # It says where in Python each column came from, by half of all calls to the JVM; our errors name files.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",  # files are named, not looked for
        "spark.sql.inMemoryColumnarStorage.compressed": "false",  # read twice or thrice, then gone
        "spark.sql.parquet.compression.codec": "zstd",
        **given,
        **_FIXED,
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


def read_options(text: str) -> dict[str, str]:
    """Return the options in a text: `name=value` with spaces between, quoted as in a shell where a value has some.

    Raises:
        StepError: a part of the text is no option.

    """
    options = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise StepError(f"spark_options = {text!r} cannot be read: {error}.", "Close what was quoted.") from None
    for part in parts:
        name, is_given, value = part.partition("=")
        if not is_given or not name.startswith("spark."):
            raise StepError(
                f"spark_options: {part!r} is no option of Spark.",
                "Give name=value with spaces between, such as spark.executor.memory=4g spark.executor.cores=2.",
            )
        options[name] = value
    return options


def _shuffle_tasks(spark: SparkSession, landed_bytes: int) -> int:
    """One task a core for little data, more where tasks would grow too big."""
    return max(spark.sparkContext.defaultParallelism, landed_bytes // _LANDED_BYTES_A_TASK)


def _compiler(landed_bytes: int) -> list[str]:
    return [] if landed_bytes >= _WORTH_OPTIMISING else ["-XX:TieredStopAtLevel=1"]

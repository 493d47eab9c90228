"""A training that starts while dbt writes the features waits for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import duckdb

from expectations.tables import FEATURES, features_db
from ml.recommender.dataset import connect

WRITER = """
import duckdb, sys, time
c = duckdb.connect(sys.argv[1])
c.execute("create table features.features.late (a int)")
print("open", flush=True)
time.sleep(1.5)
"""


def test_whoever_reads_features_waits_for_their_writer(tmp_path: Path) -> None:
    file = features_db(tmp_path)
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema features.features")
        for name in FEATURES:
            connection.execute(f"create table features.features.{name} (a int)")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"
        began = time.monotonic()
        with connect(tmp_path) as connection:
            assert time.monotonic() - began > 1.0
            assert connection.execute("select count(*) from features.features.late").fetchall() == [(0,)]

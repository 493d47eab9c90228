"""DAG files as Airflow reads them: with `dags/` on the path, and a home of the tests' own."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

DAGS = Path(__file__).resolve().parents[2] / "dags"

# Before the first import of Airflow, which would otherwise make a home in the person's own folder.
HOME = tempfile.mkdtemp(prefix="qianmian-dags-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
sys.path.insert(0, str(DAGS))

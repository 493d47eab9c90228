"""A reader that polls the warehouse as BI would: each look is a new read-only connection."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import duckdb

from expectations.tables import PUBLISHED


def look(warehouse: Path) -> str | None:
    """Return what is wrong with the set in place, or None: one run's tables, all there, none empty."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        latest = connection.execute("select run_id, as_of_date from pipeline_runs where is_latest").fetchall()
        if len(latest) != 1:
            return f"{len(latest)} runs are latest"
        for table in PUBLISHED:
            seen = connection.execute(f"select distinct run_id, as_of_date from {table}").fetchall()
            if seen != latest:
                return f"{table} holds {seen}, pipeline_runs says {latest}"
    return None


def main(warehouse: Path, result: Path, stop: Path) -> None:
    """Poll until the stop file is there; leave the number of looks and what was wrong."""
    looks, wrong = 0, []
    while not stop.exists():
        try:
            problem = look(warehouse)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        looks += 1
        if problem:
            wrong.append(problem)
        time.sleep(0.05)
    result.write_text(json.dumps({"looks": looks, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))

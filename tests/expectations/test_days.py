"""The day in a path is the same day for cleaning, for the checks and for what a run says it read."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from expectations.lake_views import CleanTables
from expectations.tables import clean_dir, day_in
from spark_jobs.landed import Landed
from warehouse.run_facts import run_facts


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("events/2026-10-31.jsonl", date(2026, 10, 31)),
        ("events/part_20261031.csv.gz", date(2026, 10, 31)),
        ("events/date=2026-10-30/2026-10-31-v2.csv", date(2026, 10, 31)),
        ("events/2026-10-31/part-00001.csv", date(2026, 10, 31)),
        ("events/2026-10-31/batch-20261399.csv", date(2026, 10, 31)),
        ("events/2026-02-30.csv", None),
        ("events/order120261031.csv", None),
        ("items/catalogue.csv", None),
    ],
)
def test_the_day_of_a_file(path: str, day: date | None) -> None:
    assert day_in(path) == day
    assert Landed(path, 1, "").day == day


def test_a_number_that_is_no_day_is_no_later_day(tmp_path: Path) -> None:
    """Cleaning reads such a file as known from the beginning: so do the checks, and it counts as read."""
    path = "events/export-20261399.csv"
    counts = {"rows": 5, "clean": 5, "quarantined": {}, "set_aside": {}}
    manifest = clean_dir(tmp_path, "events") / "_manifest.json"
    manifest.parent.mkdir(parents=True)
    inputs = {path: {"sha256": "a", "partitions": ["2026-10-31"], "counts": counts}}
    manifest.write_text(json.dumps({"partitions": {}, "inputs": inputs}))
    [seen] = CleanTables(tmp_path, "2026-10-31").counts().to_pylist()
    assert (seen["path"], seen["is_dated"]) == (path, False)
    assert run_facts(tmp_path, "2026-10-31").rows_in == 5

"""A small shop's lake: clean tables with manifests, candidate tables, a day to check."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expectations.candidate_views import add_candidate_views
from expectations.lake_views import CleanTables, lake_views
from expectations.results import Result, run_suite
from expectations.suites import CLEAN_SUITES, PUBLISHED_SUITES
from expectations.tables import CLEAN, clean_dir
from expectations.validator import Validator
from tests.candidate_tables import Rows, arrow_table, user_id

DAY = date(2026, 10, 31)
AS_OF = DAY.isoformat()


def clean_rows(day: date = DAY) -> dict[str, Rows]:
    """One day of a shop's clean tables: three users, 25 items, one event of each kind a user and item."""
    came = {"arrived_on": day}
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    events = [
        {
            "event_id": f"{day}-{user}-{number}",
            "event_at": at + timedelta(minutes=number),
            "event_date": day,
            "user_id": user_id(user),
            "event_type": kind,
            "item_id": f"i{number:03}",
            "quantity": 1 if kind == "purchase" else None,
            "unit_price": 9 if kind == "purchase" else None,
            "currency": "CNY",
            "platform": "web",
            "source_file": f"events/{day}.jsonl",
            "row_number": user * 10 + number + 1,
            **came,
        }
        for user in range(3)
        for number, kind in enumerate(("view", "cart", "purchase", "search"))
    ]
    items = [
        {
            "item_id": f"i{number:03}",
            "title": f"Item {number}",
            "price": 9,
            "currency": "CNY",
            "stock": 5,
            "is_active": True,
            "source_file": f"items/{day}.csv",
            "row_number": number + 1,
            **came,
        }
        for number in range(25)
    ]
    users = [
        {
            "user_id": user_id(user),
            "language": "zh",
            "has_personalization_consent": True,
            "source_file": f"users/{day}.csv",
            "row_number": user + 1,
            **came,
        }
        for user in range(3)
    ]
    quarantine = [
        {
            "feed": "events",
            "source_file": f"events/{day}.jsonl",
            "row_number": 100,
            "reason": "wrong_type:event_at",
            "raw": "{}",
            **came,
        }
    ]
    return {"events": events, "items": items, "users": users, "quarantine": quarantine}


def write_clean(lake: Path, tables: dict[str, Rows], counts: dict[str, dict[str, Any]] | None = None) -> None:
    """Write clean tables and their manifests as cleaning leaves them, counting rows by file.

    `counts` puts another count in place of a file's own.
    """
    rejected: dict[str, int] = {}
    for row in tables.get("quarantine", []):
        rejected[row["source_file"]] = rejected.get(row["source_file"], 0) + 1
    for name, rows in tables.items():
        table = CLEAN[name]
        folder = clean_dir(lake, name)
        partitions: dict[str, Any] = {}
        for value in sorted({str(row[table.partition]) for row in rows}):
            part = [row for row in rows if str(row[table.partition]) == value]
            file = f"commit=1/{table.partition}={value}/part-0.parquet"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(arrow_table(table, part), folder / file)
            partitions[value] = {"files": [file], "rows": len(part), "version": "1"}
        inputs = {}
        for path in sorted(
            {row["source_file"] for row in rows if row.get("source_file", "").startswith(f"{name}/")}
        ):
            mine = [row for row in rows if row["source_file"] == path]
            quarantined = {"wrong_type:event_at": rejected[path]} if path in rejected else {}
            counted = {
                "rows": len(mine) + rejected.get(path, 0),
                "clean": len(mine),
                "quarantined": quarantined,
                "set_aside": {},
                "anonymised": 0,
            }
            inputs[path] = {
                "sha256": f"sha of {path} {len(mine)}",
                "partitions": sorted({str(row[table.partition]) for row in mine}),
                "counts": (counts or {}).get(path, counted),
            }
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"table": name, "partition": table.partition, "partitions": partitions, "inputs": inputs}
        (folder / "_manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture(scope="session")
def validator() -> Validator:
    return Validator()


@pytest.fixture
def one_validator(validator: Validator, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Validator]:
    """Let the runner use the session's validator: making one again costs each test a second for nothing."""
    monkeypatch.setattr("expectations.run.Validator", lambda: validator)
    return lambda: validator


def table_results(lake: Path, table: str, validator: Validator, stage: str = "clean") -> dict[str, Result]:
    """Results of one table's suite, by name."""
    with lake_views(lake, "r1", CleanTables(lake, AS_OF)) as connection:
        if stage == "tables":
            add_candidate_views(connection, lake, AS_OF)
        suite = (CLEAN_SUITES if stage == "clean" else PUBLISHED_SUITES)[table]
        return {result.check_name: result for result in run_suite(suite, connection, validator)}


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """Give the test an empty working directory, home and temporary directory; tell what was written there."""
    folders = [tmp_path / name for name in ("cwd", "home", "tmp")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    monkeypatch.setenv("HOME", str(folders[1]))
    monkeypatch.setenv("TMPDIR", str(folders[2]))
    monkeypatch.setattr("tempfile.tempdir", None)
    return lambda: sorted(path for folder in folders for path in folder.rglob("*"))

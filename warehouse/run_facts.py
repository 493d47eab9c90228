"""What a run read: rows, quarantine, checksums and the latest event, all as of the run's day."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import FEEDS, arrived_by, clean_dir
from warehouse.history import read_parquet


@dataclass(frozen=True)
class RunFacts:
    """What was read up to the as-of date; None where nothing is known (a run that stopped before cleaning)."""

    rows_in: int | None = None
    rows_quarantined: int | None = None
    input_hash: str | None = None
    last_event_at: datetime | None = None


def run_facts(lake: Path, as_of: str) -> RunFacts:
    """Gather what stands in the clean tables' manifests for the files that had arrived by the as-of date."""
    inputs = {
        path: entry
        for feed in FEEDS
        for path, entry in _manifest(lake, feed).get("inputs", {}).items()
        if arrived_by(path, as_of)
    }
    if not inputs:
        return RunFacts()
    checksums = "\n".join(f"{inputs[path]['sha256']}  {path}" for path in sorted(inputs))
    counts = [entry["counts"] for entry in inputs.values()]
    return RunFacts(
        rows_in=sum(count["rows"] for count in counts),
        rows_quarantined=sum(sum(count.get("quarantined", {}).values()) for count in counts),
        input_hash=hashlib.sha256(checksums.encode()).hexdigest(),
        last_event_at=_last_event_at(lake, as_of),
    )


def _manifest(lake: Path, table: str) -> dict[str, Any]:
    file = clean_dir(lake, table) / "_manifest.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _last_event_at(lake: Path, as_of: str) -> datetime | None:
    """Return the time of the last event that happened and had arrived by the as-of date: from the last day."""
    partitions = _manifest(lake, "events").get("partitions", {})
    folder = clean_dir(lake, "events")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for day in sorted((day for day in partitions if day <= as_of), reverse=True):
            events = read_parquet(connection, *(folder / file for file in partitions[day]["files"]))
            known = events.filter(f"arrived_on <= date '{as_of}'")
            last: datetime | None = known.aggregate("max(event_at)::timestamp").fetchall()[0][0]
            if last:
                return last
    return None

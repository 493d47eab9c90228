"""A small shop that hands over what a test writes, and whose clean tables a test can read."""

from __future__ import annotations

import argparse
import csv
import hmac
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from feeds.land import land
from feeds.landing_sources import LocalFolder
from spark_jobs import clean

KEY = "a key for tests, long enough"
ITEMS = "item_id,title,price\ni1,One,1.50\ni2,Two,2\n"
DAY = "2026-10-31"
AT = f"{DAY}T10:00:00Z"


def pseudonym(user_id: str) -> str:
    """What a shop would compute to join back."""
    return hmac.new(KEY.encode(), user_id.encode(), "sha256").hexdigest()[:32]


def event(
    event_id: str, at: str = AT, user_id: str = "u1", event_type: str = "view", **more: Any
) -> dict[str, Any]:
    """One event on item i1."""
    return {
        "event_id": event_id,
        "event_at": at,
        "user_id": user_id,
        "event_type": event_type,
        "item_id": "i1",
        **more,
    }


def as_csv(*rows: list[str]) -> str:
    """Rows as CSV, the first is the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class SmallShop:
    """A shop's feeds and lake under one folder."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.lake = folder / "shop" / "lake"

    def write(self, path: str, content: str | bytes | list[dict[str, Any]]) -> Path:
        """Write a feed's file: text, bytes, or rows as JSON Lines."""
        target = self.source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def land(self) -> None:
        """Bring the feeds into the lake."""
        land(LocalFolder(self.source), self.lake / "landing", "test")

    def args(self, full_refresh: bool = False) -> argparse.Namespace:
        """Return the cleaning step's arguments."""
        return argparse.Namespace(
            lake=self.lake,
            as_of=DAY,
            run_id="test",
            pseudonym_key_file=None,
            max_quarantined_share=0.2,
            master="local[2]",
            driver_memory="1g",
            spark_options="",
            full_refresh=full_refresh,
        )

    def clean(self, full_refresh: bool = False) -> dict[str, Any]:
        """Land and clean; return the counts by feed."""
        self.land()
        feeds: dict[str, Any] = clean.main(self.args(full_refresh))["feeds"]
        return feeds

    def manifest(self, table: str) -> dict[str, Any]:
        """Read a table's manifest."""
        content: dict[str, Any] = json.loads((self.lake / "clean" / table / "_manifest.json").read_text())
        return content

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a clean table as docs/architecture.md tells readers to, in the order of its rows' origin."""
        folder = self.lake / "clean" / table
        files = [file for part in self.manifest(table)["partitions"].values() for file in part["files"]]
        rows = [row for file in files for row in pq.ParquetFile(folder / file).read().to_pylist()]
        return sorted(rows, key=lambda row: (row.get("source_file", ""), row.get("row_number", 0), str(row)))

    def quarantine(self, source_file: str) -> dict[int, tuple[str, str]]:
        """Return one file's rejected rows: reason and raw text, by row number."""
        rows = [row for row in self.rows("quarantine") if row["source_file"] == source_file]
        return {row["row_number"]: (row["reason"], row["raw"]) for row in rows}

"""One small simulated shop for all tests of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from feeds.simulated.shop import generate

USERS, SEED, AS_OF = 1500, 11, "2026-09-24"


@dataclass(frozen=True)
class Shop:
    """A generated shop: its folders and its report."""

    feeds: Path
    truth: Path
    report: dict[str, Any]

    def truth_table(self, name: str) -> pd.DataFrame:
        """Read one truth table, with the day in its files' names as `day`."""
        return (
            duckdb.connect()
            .execute(f"""
            select * exclude filename, regexp_extract(filename, '(\\d{{4}}-\\d\\d-\\d\\d)', 1) as day
            from read_parquet('{self.truth}/{name}/*.parquet', filename = true)
            order by filename, file_row_number
        """)
            .df()
        )

    @cached_property
    def dirt(self) -> dict[tuple[str, int], str]:
        """Kind of dirt by (file, row number)."""
        table = self.truth_table("planted_dirt")
        keys = zip(table["file"], table["row_number"].tolist(), strict=True)
        return dict(zip(keys, table["kind"], strict=True))

    @cached_property
    def good_events(self) -> pd.DataFrame:
        """The events that cleaning should keep: those on which no dirt was planted, and late ones."""
        rows = []
        for path in sorted((self.feeds / "events").glob("*.jsonl")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                kind = self.dirt.get((f"events/{path.name}", number), "")
                if kind in ("", "late"):
                    rows.append({**json.loads(line), "file_day": path.stem, "dirt": kind})
        events = pd.DataFrame(rows)
        events["event_at"] = pd.to_datetime(events["event_at"], format="ISO8601", utc=True)
        return events


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    report = generate(folder / "feeds", folder / "truth", USERS, SEED, AS_OF)
    return Shop(folder / "feeds", folder / "truth", report)

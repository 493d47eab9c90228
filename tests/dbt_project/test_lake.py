"""How dbt reads the clean tables' files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from expectations.tables import clean_dir
from tests.dbt_project.small_lake import SmallLake

EARLIER, LATER = "2026-10-30", "2026-10-31"


@pytest.mark.parametrize("day_without", [EARLIER, LATER])
def test_files_are_matched_by_the_names_of_their_columns(tmp_path: Path, day_without: str) -> None:
    """One file has a column less, and the others in another order, as if an earlier release had written it."""
    lake = SmallLake(tmp_path / "lake")
    lake.put(
        "events",
        [
            {
                "event_id": day,
                "event_at": f"{day}T10:00:00+00:00",
                "user_id": "ann",
                "event_type": "search",
                "query": "tea",
                "region": "north",
                "event_date": day,
                "arrived_on": day,
            }
            for day in (EARLIER, LATER)
        ],
    )
    folder = clean_dir(lake.path, "events")
    partitions = json.loads((folder / "_manifest.json").read_text())["partitions"]
    file = folder / partitions[day_without]["files"][0]
    rows = pq.ParquetFile(file).read()
    pq.write_table(rows.select([name for name in reversed(rows.column_names) if name != "region"]), file)

    lake.build(LATER, "--select", "stg_events", "--exclude-resource-type", "unit_test")
    found = lake.query("select event_id, query, region from features.staging.stg_events order by event_id")
    assert found == [(day, "tea", None if day == day_without else "north") for day in (EARLIER, LATER)]

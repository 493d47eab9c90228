"""A published shop as the release before `pipeline_runs.ended_at` left it."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

_FRESHNESS = """
create view data_freshness as
select
    latest.as_of_date, latest.run_id, latest.published_at,
    cast(cast(now() at time zone 'UTC' as date) - latest.as_of_date as bigint) as days_old,
    last_run.run_id as last_run_id, last_run.as_of_date as last_run_as_of_date,
    last_run.status as last_run_status, last_run.decision as last_run_decision,
    last_run.generated_at as last_run_started_at
from (select * from pipeline_runs order by generated_at desc, run_id desc limit 1) as last_run
left join (select * from pipeline_runs where is_latest) as latest on true
"""


def as_before_ended_at(warehouse: Path, lake: Path | None = None) -> None:
    """Take the column from the warehouse in place and, where a lake is given, from its records."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("drop view data_freshness")
        connection.execute("alter table pipeline_runs drop column ended_at")
        connection.execute(_FRESHNESS)
    for file in (lake / "published" / "pipeline_runs").glob("*.json") if lake else ():
        row = json.loads(file.read_text())
        del row["ended_at"]
        file.write_text(json.dumps(row, indent=2, ensure_ascii=False))

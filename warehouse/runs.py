"""The runs of the daily job: which published, which were refused, and whose tables stand.

The warehouse in place is the record of them: a run is published when, and only when, the file with its row is in
place. Each row is then also left as JSON in the lake, so that a warehouse that is lost can be made again, and one
that is older than the lake (brought back from a backup) gets its later runs with the next publishing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import PIPELINE_RUNS, run_dir
from qianmian.step import read_reports, write_atomically
from warehouse.relations import typed

PUBLISHED = "published"
REFUSED = "refused"
ROLLED_BACK = "rolled_back"
EXPIRED = "expired"

log = logging.getLogger("qianmian")


@dataclass(frozen=True)
class PipelineRun:
    """One row of `pipeline_runs` but for `is_latest`, which follows from all rows. Times are UTC without zone."""

    run_id: str
    as_of_date: date
    status: str
    decision: str
    generated_at: datetime
    ended_at: datetime
    published_at: datetime | None = None
    last_event_at: datetime | None = None
    input_hash: str | None = None
    config_hash: str | None = None
    model_version: str | None = None
    rows_in: int | None = None
    rows_quarantined: int | None = None
    published_rows: int | None = None
    report: str | None = None


def standing_runs(runs: Iterable[PipelineRun]) -> dict[date, PipelineRun]:
    """Return, per as-of date in order, the run published last: its rows are that day's history."""
    published = [run for run in runs if run.status == PUBLISHED]
    return {run.as_of_date: run for run in sorted(published, key=_place)}


def latest_run(runs: Iterable[PipelineRun]) -> PipelineRun | None:
    """Return the run whose tables stand: the last published one of the latest day. None before the first."""
    return max((run for run in runs if run.status == PUBLISHED), key=_place, default=None)


def _place(run: PipelineRun) -> tuple[date, datetime, str]:
    return run.as_of_date, run.published_at or datetime.min, run.run_id


def with_run(runs: Iterable[PipelineRun], run: PipelineRun) -> list[PipelineRun]:
    """Return the runs with this one in place of an earlier row of the same id, ordered by start."""
    others = [other for other in runs if other.run_id != run.run_id]
    return _in_order([*others, run])


def _in_order(runs: Iterable[PipelineRun]) -> list[PipelineRun]:
    return sorted(runs, key=lambda run: (run.generated_at, run.run_id))


def find_run(runs: Iterable[PipelineRun], run_id: str) -> PipelineRun | None:
    """Return the row of one run, if it has one."""
    return next((run for run in runs if run.run_id == run_id), None)


def known_runs(lake: Path, warehouse: Path) -> list[PipelineRun]:
    """Read all runs from the warehouse in place, and those that it lacks from the lake's records of them.

    A record is left after the swap, so its run was in place: a warehouse without it is an older one. A warehouse
    that cannot be read (another program has it open for writing, or it is damaged) never stops the daily job: the
    lake holds the same rows.
    """
    if warehouse.exists():
        try:
            with duckdb.connect(str(warehouse), read_only=True) as connection:
                rows = stored_runs(connection).order("generated_at, run_id")
                runs = [_from_row(dict(zip(rows.columns, row, strict=True))) for row in rows.fetchall()]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            log.warning("%s cannot be read (%s): its runs are taken from the lake", warehouse, reason)
        else:
            _repair_records(lake, runs)
            lacking = recorded_runs(lake, but={_record_file(lake, run) for run in runs})
            for run in lacking:
                log.warning("%s lacks run %s of %s: it is taken from the lake", warehouse, run.run_id,
                            run.as_of_date)  # fmt: skip
            return _in_order([*runs, *lacking])
    return recorded_runs(lake)


def stored_runs(connection: duckdb.DuckDBPyConnection, name: str = PIPELINE_RUNS.name) -> duckdb.DuckDBPyRelation:
    """Return a warehouse's `pipeline_runs` with today's columns: an earlier release may have written the file.

    Args:
        connection: to the warehouse.
        name: the table's, where the warehouse is attached under a name.

    """
    rows = connection.table(name)
    if "ended_at" not in rows.columns:
        rows = rows.project("*, coalesce(published_at, generated_at) as ended_at")
    return typed(rows, PIPELINE_RUNS)


def recorded_runs(lake: Path, but: Collection[Path] = ()) -> list[PipelineRun]:
    """Read all runs from the lake's records, `published/pipeline_runs/<run_id>.json`, but those of some files."""
    runs = []
    for path in _records_dir(lake).glob("*.json"):
        if path in but:
            continue
        row = json.loads(path.read_text())
        for name in ("generated_at", "published_at", "last_event_at", "ended_at"):
            row[name] = datetime.fromisoformat(row[name]) if row.get(name) else None
        row["ended_at"] = row["ended_at"] or row["published_at"] or row["generated_at"]
        row["as_of_date"] = date.fromisoformat(row["as_of_date"])
        runs.append(_from_row(row))
    return _in_order(runs)


def record(lake: Path, run: PipelineRun) -> None:
    """Leave one run's row in the lake. Done after the swap: what never was in place leaves no record."""
    write_atomically(_record_file(lake, run), _as_json(run))


def report_text(lake: Path, run_id: str) -> str:
    """Return what the run's steps have reported so far, as the JSON that stands in `report`."""
    return json.dumps(read_reports(lake, run_id), ensure_ascii=False, sort_keys=True)


def _repair_records(lake: Path, runs: list[PipelineRun]) -> None:
    """Write the records that a publisher killed right after its swap could not leave."""
    for run in runs:
        file = _record_file(lake, run)
        if not file.exists() or file.read_text() != _as_json(run):
            record(lake, run)


def _from_row(row: dict[str, Any]) -> PipelineRun:
    known = {field.name for field in fields(PipelineRun)}
    return PipelineRun(**{name: value for name, value in row.items() if name in known})


def _as_json(run: PipelineRun) -> str:
    row = {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(run).items()}
    return json.dumps(row, indent=2, ensure_ascii=False)


def _records_dir(lake: Path) -> Path:
    return lake / "published" / "pipeline_runs"


def _record_file(lake: Path, run: PipelineRun) -> Path:
    return _records_dir(lake) / f"{run_dir(lake, run.run_id).name}.json"


def noted_again(run: PipelineRun, note: str, ended_at: datetime) -> PipelineRun:
    """Return a published run's row with a note on what happened to the run since."""
    return replace(run, decision=f"{run.decision} {note}", ended_at=ended_at)

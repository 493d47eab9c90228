"""Delete what has been kept long enough, each kind by its own setting; 0 days keeps it for ever.

    history     the published tables of a day: from the lake, and by the next publishing from PostgreSQL and S3.
                Its run stays in `pipeline_runs` as `expired`. The two latest days stay, to read and to go back to.
                Killed in between, the next run deletes what was left of them.
    quarantine  the text of rejected rows; which file and row it was, and why, stays, and so do all counts.
    reports     a run's reports and check pages, and what the models wrote for a day. The two latest stay.

Landed files and clean rows are the record that all else is computed from: they go by forgetting alone.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import PUBLISHED, clean_dir, outputs_dir, run_dir
from qianmian.step import run_step, step_parser
from spark_jobs.cleaning import clean_held
from spark_jobs.manifest import commit, read_manifest
from warehouse.history import history_file
from warehouse.runs import EXPIRED, PipelineRun, known_runs, record, standing_runs
from warehouse.runs import PUBLISHED as STATUS_PUBLISHED
from warehouse.swap import only_publisher, swap_in

log = logging.getLogger("qianmian")

KEPT_DAYS = 2
OUT_OF_TIME = "(kept long enough)"


def apply_retention(args: argparse.Namespace) -> dict[str, Any]:
    """Delete, and return what went from where."""
    lake, today = args.lake.resolve(), date.fromisoformat(args.as_of)
    return {
        "history_days": expire_history(lake, args.warehouse, _before(today, args.keep_history_days)),
        "quarantined_texts": clear_quarantine(lake, _before(today, args.keep_quarantine_days)),
        **delete_reports(lake, args.run_id, _before(today, args.keep_reports_days)),
    }


def _before(today: date, days: int) -> date | None:
    return today - timedelta(days=days) if days else None


def expire_history(lake: Path, warehouse: Path, before: date | None) -> list[str]:
    """Delete the published tables of days before one, but for the two latest days; return the days.

    Files of days that expired earlier go as well, whatever is kept now: this step may have been killed after the
    warehouse said that they were gone.
    """
    if not warehouse.exists():
        return []
    with only_publisher(warehouse):
        runs = known_runs(lake, warehouse)
        if left := _delete_files(lake, [run for run in runs if run.status == EXPIRED]):
            log.info("%d files left over of days that had expired, removed", left)
        if before is None:
            return []
        days = [day for day in list(standing_runs(runs))[:-KEPT_DAYS] if day < before]
        if not days:
            return []
        gone = [run for run in runs if run.as_of_date in days and run.status == STATUS_PUBLISHED]
        said = "Its rows were deleted: they had been kept long enough."
        expired = {run.run_id: replace(run, status=EXPIRED, decision=f"{run.decision} {said}") for run in gone}
        # The warehouse first: a reader never looks for a file that is gone.
        swap_in(warehouse, lake, [expired.get(run.run_id, run) for run in runs])
        for run in expired.values():
            record(lake, run)
        _delete_files(lake, gone)
    return [str(day) for day in days]


def _delete_files(lake: Path, runs: Sequence[PipelineRun]) -> int:
    """Delete the history of runs, and folders of days that are empty then; return the files that were there."""
    deleted = 0
    for table in PUBLISHED:
        for run in runs:
            file = history_file(lake, table, run)
            if file.exists():
                file.unlink()
                deleted += 1
            if file.parent.is_dir() and not any(file.parent.iterdir()):
                file.parent.rmdir()
    return deleted


def clear_quarantine(lake: Path, before: date | None) -> int:
    """Delete the texts of rows that were rejected before a day; return their number."""
    folder = clean_dir(lake, "quarantine")
    if before is None or not folder.is_dir():
        return 0
    with clean_held(lake):
        manifest = read_manifest(folder, "quarantine", "feed")
        cleared, commit_id = 0, secrets.token_hex(8)
        for feed, part in manifest.partitions.items():
            rows = pa.concat_tables([pq.ParquetFile(folder / file).read() for file in part["files"]])
            pairs = zip(rows["raw"].to_pylist(), rows["arrived_on"].to_pylist(), strict=True)
            texts = [OUT_OF_TIME if arrived < before else raw for raw, arrived in pairs]
            changed = sum(new != old for new, old in zip(texts, rows["raw"].to_pylist(), strict=True))
            if changed:
                place = rows.schema.get_field_index("raw")
                rows = rows.set_column(
                    place, rows.schema.field("raw"), pa.array(texts, rows.schema.field("raw").type)
                )
                name = f"commit={commit_id}/feed={feed}/part-0.parquet"
                (folder / name).parent.mkdir(parents=True)
                pq.write_table(rows, folder / name, compression="zstd")
                manifest.partitions[feed] = {**part, "files": [name], "version": secrets.token_hex(8)}
                cleared += changed
        if cleared:
            commit(folder, manifest)
        return cleared


def delete_reports(lake: Path, run_id: str, before: date | None) -> dict[str, list[str]]:
    """Delete runs' folders last written before a day, and outputs of days before it; return their names."""
    if before is None:
        return {"runs": [], "output_days": []}
    limit = datetime(before.year, before.month, before.day, tzinfo=UTC).timestamp()
    folders = {
        path: max(p.stat().st_mtime for p in (path, *path.rglob("*"))) for path in (lake / "runs").glob("*")
    }
    latest = sorted(folders, key=lambda path: folders[path])[-KEPT_DAYS:]
    kept = {run_dir(lake, run_id), *latest}
    runs = sorted(path for path, at in folders.items() if at < limit and path not in kept)
    days = sorted(outputs_dir(lake, "").parent.glob("as_of_date=*"))[:-KEPT_DAYS]
    outputs = [path for path in days if path.name.removeprefix("as_of_date=") < before.isoformat()]
    for path in (*runs, *outputs):
        shutil.rmtree(path)
    return {"runs": [path.name for path in runs], "output_days": [path.name for path in outputs]}


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    for what in ("history", "quarantine", "reports"):
        parser.add_argument(
            f"--keep-{what}-days", type=int, default=0, help="before the as-of day; 0: for ever (default)"
        )
    run_step("apply_retention", apply_retention, parser, argv)


if __name__ == "__main__":
    main()

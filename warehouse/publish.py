"""Publish a run: its checked tables become history in the lake and, in one swap, the warehouse that BI opens.

Reads the candidate tables in `features.duckdb` and the checks' results, proves that they are whole and all of this
run, keeps them as Parquet under `published/`, builds a new warehouse beside the one in place and renames it over.
Killed at any moment it leaves yesterday's file as it was. A past day becomes history and a row in `pipeline_runs`;
the tables of the latest day stay.
"""

from __future__ import annotations

import argparse
import logging
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import PUBLISHED, new_history_file
from qianmian.step import run_step, step_parser
from warehouse.candidates import RESULTS, candidates
from warehouse.history import prune_history, remove_broken_off, write_history
from warehouse.relations import count_rows
from warehouse.run_facts import run_facts
from warehouse.runs import PUBLISHED as STATUS_PUBLISHED
from warehouse.runs import PipelineRun, known_runs, latest_run, record, report_text, with_run
from warehouse.swap import only_publisher, swap_in

log = logging.getLogger("qianmian")


def utc_moment(text: str) -> datetime:
    """Read a moment for argparse: ISO 8601, UTC where no offset is given; comes back in UTC without zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a moment such as 2011-11-30T06:00:00+00:00") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def warehouse_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a step's parser with what publishing and refusing take: --warehouse, --generated-at."""
    parser = step_parser(description)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    parser.add_argument(
        "--generated-at",
        type=utc_moment,
        required=True,
        help="when the run started, e.g. 2011-11-30T06:00:00+00:00",
    )
    return parser


def publish(
    lake: Path, as_of: str, run_id: str, warehouse: Path, generated_at: datetime, config_hash: str
) -> dict[str, Any]:
    """Publish one run's tables.

    Returns:
        The rows published per table, and the run whose tables now stand.

    Raises:
        StepError: the candidate tables are not whole or not this run's, or another publisher does not end.

    """
    with only_publisher(warehouse):
        before = known_runs(lake, warehouse)
        remove_broken_off(lake, before, as_of, run_id)
        # The one clock reading of a run: when its tables were put in place, and it was over. It names their files.
        published_at = datetime.now(UTC).replace(tzinfo=None)
        with candidates(lake, as_of, run_id, generated_at) as tables:
            rows = {name: count_rows(tables[name]) for name in PUBLISHED}
            versions = _model_versions(tables)
            warnings = count_rows(tables[RESULTS], "status <> 'passed'")
            for name, table in PUBLISHED.items():
                write_history(tables[name], table, new_history_file(lake, name, as_of, run_id, published_at))
                log.info("%s: %s rows", name, f"{rows[name]:,}")
        facts = run_facts(lake, as_of)
        run = PipelineRun(
            run_id=run_id,
            as_of_date=date.fromisoformat(as_of),
            status=STATUS_PUBLISHED,
            decision=_decision(as_of, rows, warnings, latest_run(before)),
            generated_at=generated_at,
            ended_at=published_at,
            published_at=published_at,
            last_event_at=facts.last_event_at,
            input_hash=facts.input_hash,
            config_hash=config_hash,
            model_version=versions,
            rows_in=facts.rows_in,
            rows_quarantined=facts.rows_quarantined,
            published_rows=sum(rows.values()),
            report=report_text(lake, run_id),
        )
        after = with_run(before, run)
        swap_in(warehouse, lake, after)
        record(lake, run)
        prune_history(lake, before, after, run.as_of_date)
    log.info("%s %s", warehouse, run.decision)
    latest = latest_run(after)
    return {"rows": rows, "decision": run.decision, "latest_run": latest.run_id if latest else None}


def _decision(as_of: str, rows: dict[str, int], warnings: int, latest: PipelineRun | None) -> str:
    said = f"{warnings} of the checks warned" if warnings else "every check passed"
    what = f"{sum(rows.values()):,} rows in {len(rows)} tables, {said}."
    if latest and latest.as_of_date.isoformat() > as_of:
        return f"Published as history: {what} The tables in place stay those of {latest.as_of_date}, a later day."
    return f"Published: {what}"


def _model_versions(tables: dict[str, duckdb.DuckDBPyRelation]) -> str:
    """Name the models behind the tables: `home_recommendations=…, user_portraits=…`."""
    versions = {
        name: [
            row[0] for row in tables[name].project("model_version").distinct().order("model_version").fetchall()
        ]
        for name in sorted(tables)
    }
    return ", ".join(f"{name}={'+'.join(found)}" for name, found in versions.items() if found)


def _main(args: argparse.Namespace) -> dict[str, Any]:
    return publish(args.lake, args.as_of, args.run_id, args.warehouse, args.generated_at, args.config_hash)


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = warehouse_parser(__doc__)
    parser.add_argument("--config-hash", required=True, help="SHA-256 over the run's settings")
    run_step("publish", _main, parser, argv)


if __name__ == "__main__":
    main()

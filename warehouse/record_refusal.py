"""Record that a run was refused: the tables in place stay as they are, and `pipeline_runs` says so and why.

The checks that failed go into `refused_checks`. Before the first published run the warehouse then has its tables,
empty, and this row. It is published by the same swap, so a reader sees it whole or not yet.
"""

from __future__ import annotations

import argparse
import json
import logging
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import REFUSED_CHECKS, new_history_file
from qianmian.step import run_step
from warehouse.candidates import read_results, results_file
from warehouse.history import prune_history, write_history
from warehouse.publish import warehouse_parser
from warehouse.relations import count_rows
from warehouse.run_facts import RunFacts, run_facts
from warehouse.runs import (
    PUBLISHED,
    REFUSED,
    PipelineRun,
    find_run,
    known_runs,
    latest_run,
    noted_again,
    record,
    report_text,
    with_run,
)
from warehouse.swap import only_publisher, swap_in

WHY_LENGTH = 2000

log = logging.getLogger("qianmian")


def record_refusal(
    lake: Path, as_of: str, run_id: str, warehouse: Path, generated_at: datetime, failed_step: str, why: str
) -> dict[str, Any]:
    """Record one refused run. A run that had been published before keeps its row, with a note: its tables stand.

    Returns:
        The decision in words.

    Raises:
        StepError: another publisher does not end, or the latest run's history is gone from the lake.

    """
    with only_publisher(warehouse):
        before = known_runs(lake, warehouse)
        reason = f"{failed_step} did not pass: {_in_one_line(why)}"[:WHY_LENGTH]
        earlier = find_run(before, run_id)
        if earlier and earlier.status == PUBLISHED:
            said = f"Run again and refused: {reason} What it had published stays."
            run = noted_again(earlier, said, _now())
        else:
            run = _refused_run(lake, as_of, run_id, generated_at, reason, latest_run(before))
            _keep_failed_checks(lake, as_of, run_id, generated_at)
        after = with_run(before, run)
        swap_in(warehouse, lake, after)
        record(lake, run)
        prune_history(lake, before, after, run.as_of_date)
    log.info("%s", run.decision)
    return {"decision": run.decision}


def _refused_run(
    lake: Path, as_of: str, run_id: str, generated_at: datetime, reason: str, latest: PipelineRun | None
) -> PipelineRun:
    stays = f"The tables in place stay those of {latest.as_of_date}." if latest else "Nothing is published yet."
    facts = _known_facts(lake, as_of)
    return PipelineRun(
        run_id=run_id,
        as_of_date=date.fromisoformat(as_of),
        status=REFUSED,
        decision=f"Refused: {reason} {stays}",
        generated_at=generated_at,
        ended_at=_now(),
        last_event_at=facts.last_event_at,
        input_hash=facts.input_hash,
        rows_in=facts.rows_in,
        rows_quarantined=facts.rows_quarantined,
        report=report_text(lake, run_id),
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _known_facts(lake: Path, as_of: str) -> RunFacts:
    """Gather what can be read: a damaged lake may be the very reason of the refusal, and that must be told."""
    try:
        return run_facts(lake, as_of)
    except (OSError, KeyError, json.JSONDecodeError, duckdb.Error) as error:
        log.warning("what the run read is not known: %s", error)
        return RunFacts()


def _keep_failed_checks(lake: Path, as_of: str, run_id: str, generated_at: datetime) -> None:
    file = new_history_file(lake, REFUSED_CHECKS.name, as_of, run_id, published_at=None)
    results = results_file(lake, as_of, run_id, stages=("", "_clean"))
    if results is None:
        file.unlink(missing_ok=True)
        return
    with duckdb.connect() as connection:
        failed = read_results(connection, results, as_of, run_id, generated_at).filter("status = 'failed'")
        write_history(failed, REFUSED_CHECKS, file)
        log.info("%s failed checks kept in %s", count_rows(failed), REFUSED_CHECKS.name)


def _main(args: argparse.Namespace) -> dict[str, Any]:
    return record_refusal(
        args.lake, args.as_of, args.run_id, args.warehouse, args.generated_at, args.failed_step, args.why
    )


def _in_one_line(text: str) -> str:
    """Put the lines of a text behind each other, with a full stop where a line has no mark of its own."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " ".join(line if line[-1] in ".:;,!?" else f"{line}." for line in lines)


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = warehouse_parser(__doc__)
    parser.add_argument("--failed-step", required=True, help="name of the step that stopped the run, e.g. clean")
    parser.add_argument("--why", required=True, help="what it said last")
    run_step("record_refusal", _main, parser, argv)


if __name__ == "__main__":
    main()

"""Take back the latest published run: the set of tables before it stands again, and `pipeline_runs` says so.

The day's earlier run where its files are still in the lake, else the day before. Nothing is computed: the
warehouse is made again from the history, beside the one in place, and takes its name by one rename. The run that
was taken back keeps its row, with status rolled_back; running its day again publishes it anew.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from expectations.tables import PUBLISHED
from qianmian.step import EXIT_BAD_INPUT, StepError
from warehouse.history import history_file
from warehouse.runs import ROLLED_BACK, PipelineRun, known_runs, latest_run, record, with_run
from warehouse.swap import only_publisher, swap_in

log = logging.getLogger("qianmian")


def rollback(lake: Path, warehouse: Path, why: str) -> dict[str, Any]:
    """Take back the latest run.

    Args:
        lake: the shop's lake.
        warehouse: the DuckDB file in place.
        why: what `pipeline_runs` says.

    Returns:
        The run taken back, and the one whose tables now stand.

    Raises:
        StepError: nothing is published, or nothing before it can be put back.

    """
    with only_publisher(warehouse):
        runs = known_runs(lake, warehouse)
        latest = latest_run(runs)
        if latest is None:
            raise StepError(f"{warehouse} has no published run.", "There is nothing to take back.")
        taken_back = replace(
            latest, status=ROLLED_BACK, decision=f"{latest.decision} Taken back: {' '.join(why.split())}"
        )
        after = _without_lost(lake, with_run(runs, taken_back))
        standing = latest_run(after)
        if standing is None:
            raise StepError(
                f"Before run {latest.run_id} of {latest.as_of_date} there is no set of tables in the lake.",
                "Run the day again instead: make run AS_OF=...",
            )
        swap_in(warehouse, lake, after)
        for run in after:
            record(lake, run)
    log.info("run %s of %s was taken back; those of %s, run %s, stand", latest.run_id, latest.as_of_date,
             standing.as_of_date, standing.run_id)  # fmt: skip
    return {"taken_back": latest.run_id, "standing": standing.run_id, "as_of_date": str(standing.as_of_date)}


def _without_lost(lake: Path, runs: list[PipelineRun]) -> list[PipelineRun]:
    """Mark, latest first, the runs whose files are gone, until one can stand."""
    while (run := latest_run(runs)) is not None:
        lost = [t for t in PUBLISHED if not history_file(lake, t, run).exists()]
        if not lost:
            break
        said = f"{run.decision} Cannot be put back: {lost[0]} is gone from the lake."
        runs = with_run(runs, replace(run, status=ROLLED_BACK, decision=said))
    return runs


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True, help="the shop's lake, e.g. var/simulated/lake")
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    parser.add_argument("--why", default="by hand", help="what pipeline_runs says (default: %(default)s)")
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        done = rollback(args.lake, args.warehouse, args.why)
    except StepError as error:
        print(f"ERROR: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    print(f"Run {done['taken_back']} was taken back.")
    print(f"The tables of {done['as_of_date']} stand (run {done['standing']}).")


if __name__ == "__main__":
    main()

"""Make the warehouse again from the lake: what was published is kept there, so the file may be lost.

Reads `published/` (the tables of every published run, and each run's record) and puts a new file in place.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from qianmian.step import EXIT_BAD_INPUT, StepError
from warehouse.runs import recorded_runs
from warehouse.swap import only_publisher, swap_in

log = logging.getLogger("qianmian")


def rebuild(lake: Path, warehouse: Path) -> dict[str, int]:
    """Build the warehouse from the lake's published history and put it in place.

    Returns:
        The rows of each table and view.

    Raises:
        StepError: the lake has no record of any run, the latest run's history is gone, or another publisher
            does not end.

    """
    with only_publisher(warehouse):
        # Not before: a publisher that this has waited for has left a run of its own.
        runs = recorded_runs(lake)
        if not runs:
            raise StepError(
                f"{lake / 'published' / 'pipeline_runs'} holds no run.", "Run the daily job: make run."
            )
        return swap_in(warehouse, lake, runs)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True, help="the shop's lake, e.g. var/simulated/lake")
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        for name, rows in rebuild(args.lake, args.warehouse).items():
            log.info("%s: %s rows", name, f"{rows:,}")
    except StepError as error:
        print(f"ERROR: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()

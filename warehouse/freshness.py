"""Say whether the tables of a day are in place, and if not, why: the question that must be answered every morning.

Looks at the warehouse that BI opens, not at Airflow: it also notices a run that never started.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import DATA_FRESHNESS
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger("qianmian")

_REMEDY = (
    "Look at the runs of personalize_daily in Airflow: one that waits or works may still bring the tables; one "
    "that failed says what to do; if there is none, see that Airflow runs and the DAG is not paused."
)


def check_freshness(warehouse: Path, as_of: str) -> dict[str, Any]:
    """Return the row of `data_freshness` if the tables in place are of a day or later.

    Args:
        warehouse: the DuckDB file that BI opens.
        as_of: the day that should be there.

    Raises:
        StepError: they are not; it says how the last run ended.

    """
    if not warehouse.exists():
        raise StepError(f"{warehouse} is not there: nothing was ever published.", _REMEDY)
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.table(DATA_FRESHNESS.name)
        # Its own columns: an earlier release may have made the view.
        columns, rows = found.columns, found.fetchall()
    if not rows:
        raise StepError(f"{warehouse} knows of no run.", _REMEDY)
    row = dict(zip(columns, rows[0], strict=True))
    if row["as_of_date"] is None or str(row["as_of_date"]) < as_of:
        there = (
            f"those in place are of {row['as_of_date']}, published {row['published_at']:%Y-%m-%d %H:%M} UTC"
            if row["as_of_date"]
            else "none ever were"
        )
        raise StepError(
            f"The tables of {as_of} are not published: {there}. The last run, {row['last_run_id']} of "
            f"{row['last_run_as_of_date']}, is {row['last_run_status']}: {row['last_run_decision']}",
            _REMEDY,
        )
    log.info("the tables of %s are in place since %s UTC (run %s)", row["as_of_date"], row["published_at"],
             row["run_id"])  # fmt: skip
    return row


def _main(args: argparse.Namespace) -> dict[str, Any]:
    return check_freshness(args.warehouse, args.as_of)


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    run_step("check_freshness", _main, parser, argv)


if __name__ == "__main__":
    main()

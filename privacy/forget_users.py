"""Forget who asked for it: their rows in landing, lake, history, reports and warehouse, with a receipt for each.

    requests ─► receipts opened ─► landing, an adapter's feeds ─► features ─► clean, quarantine ─► outputs,
    history, reports, logs ─► warehouse ─► forget_in_postgres, forget_in_s3 ─► close_receipts (searches)

Killed at any moment, it goes on where it was when it is run again: an open receipt says that it has to. Rows of
those forgotten before that came in late go from landing too. The shop stays this run's until `apply_retention` has
ended. How, and its limits: docs/privacy.md.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from expectations.tables import landing_dir
from privacy.lake_files import champions, forget_in_features, forget_in_lake, forget_in_warehouse
from privacy.landing import find_requests, forget_in_landing
from privacy.receipts import Receipts
from qianmian.step import StepError, run_step
from spark_jobs import clean
from spark_jobs.cleaning import Lake, cleaning_parser

log = logging.getLogger("qianmian")


def forget_users(args: argparse.Namespace) -> dict[str, Any]:
    """Forget, and return the step's report.

    Raises:
        StepError: nothing has landed, a file cannot be read, or another program has one open.

    """
    lake = Lake(args)
    if not landing_dir(lake.root).is_dir():
        raise StepError(
            f"Nothing has landed yet in {landing_dir(lake.root)}.", "Run the daily job first: make run."
        )
    receipts = Receipts(lake.root)
    for user_id, requested_at in find_requests(lake.root, lake.key, args.as_of).items():
        receipts.ask(user_id, requested_at, args.run_id)
    users = frozenset(receipts.open)
    log.info("%d users to forget, %d forgotten before", len(users), len(receipts.all) - len(users))
    if not receipts.all:
        return {"users": 0, "files_changed": 0}
    changed = forget_in_landing(lake.root, args.feeds, args.truth, lake.key, receipts)
    if users:
        receipts.change(users, models_to_retrain=champions(lake.root))
        forget_in_features(lake.root, receipts, users)  # before its views lose the files that they read
    clean.main(args)
    if users:
        forget_in_lake(lake.root, receipts, users, args.logs)
        forget_in_warehouse(lake.root, args.warehouse, users)
    return {"users": len(users), "files_changed": changed}


def parser() -> argparse.ArgumentParser:
    """Return the step's arguments: those of cleaning, and where else users are."""
    arguments = cleaning_parser(__doc__)
    arguments.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    arguments.add_argument(
        "--feeds", type=Path, help="feed files that an adapter of ours wrote; not the shop's own"
    )
    arguments.add_argument("--truth", type=Path, help="the simulated shop's truth")
    arguments.add_argument("--logs", type=Path, help="folder of the tasks' logs")
    return arguments


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    run_step("forget_users", forget_users, parser(), argv)


if __name__ == "__main__":
    main()

"""Check the clean tables (--stage clean) or the candidate tables (--stage tables) before anything builds on them.

Each table has a suite of checks in the business's words (expectations/suites/). Results go to
`outputs/as_of_date=<day>/data_quality_results*.parquet` and to a page, `runs/<run_id>/checks_<stage>.html`. A
failed check of severity error stops the run, after both are written; one of severity warning is recorded.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from expectations.candidate_views import add_candidate_views, add_results_view
from expectations.checks import Suite
from expectations.lake_views import CHECKED_INPUTS, CleanTables, lake_views
from expectations.page import page_html
from expectations.results import Result, as_table, not_handed_over, read_results, run_suite, write_results
from expectations.suites import CLEAN_SUITES, PUBLISHED_SUITES
from expectations.tables import REQUIRED_FEEDS, outputs_dir, run_dir
from expectations.validator import Validator
from qianmian.step import StepError, run_step, step_parser, write_atomically

log = logging.getLogger("qianmian")


def check_clean(lake: Path, as_of: str, run_id: str) -> list[Result]:
    """Check what is new in the clean tables and leave results and page.

    Raises:
        StepError: a required feed was never cleaned.

    """
    clean = CleanTables(lake, as_of)
    for feed in REQUIRED_FEEDS:
        if not clean.is_there(feed):
            raise StepError(f"There is no clean table {feed} in {lake}.", "Land and clean the feeds first.")
    validator = Validator()
    results: list[Result] = []
    with lake_views(lake, run_id, clean) as connection:
        for name, suite in CLEAN_SUITES.items():
            if clean.is_there(name):
                results += _logged(suite, run_suite(suite, connection, validator))
            else:
                results.append(not_handed_over(suite))
                log.info("%s: not handed over", name)
    write_results(outputs_dir(lake, as_of) / "data_quality_results_clean.parquet", results, run_id)
    _write_page(lake, results, "clean", as_of, run_id)
    if not failed(results):
        write_atomically(outputs_dir(lake, as_of) / CHECKED_INPUTS, clean.checked_inputs())
    return results


def check_tables(lake: Path, as_of: str, run_id: str) -> list[Result]:
    """Check the candidate tables; the results of both stages end in one file.

    Raises:
        StepError: the clean tables were not checked in this run, or a candidate table was not built.

    """
    file = outputs_dir(lake, as_of) / "data_quality_results_clean.parquet"
    before = read_results(file, run_id)
    if before is None:
        raise StepError(
            f"{file} does not hold the checks of run {run_id}.",
            f"Run python -m expectations.run --stage clean with --run-id {run_id} first.",
        )
    validator = Validator()
    results: list[Result] = []
    with lake_views(lake, run_id, CleanTables(lake, as_of)) as connection:
        add_candidate_views(connection, lake, as_of)
        for name, suite in PUBLISHED_SUITES.items():
            if name == "data_quality_results":
                add_results_view(connection, as_table([*before, *results], run_id), as_of, run_id)
            results += _logged(suite, run_suite(suite, connection, validator))
    write_results(outputs_dir(lake, as_of) / "data_quality_results.parquet", [*before, *results], run_id)
    _write_page(lake, results, "tables", as_of, run_id)
    return results


def failed(results: list[Result]) -> list[Result]:
    """Return the results that stop a run."""
    return [result for result in results if result.status == "failed"]


def _logged(suite: Suite, results: list[Result]) -> list[Result]:
    counts = Counter(result.status for result in results)
    log.info(
        "%s: %d passed, %d warned, %d failed",
        suite.table.name,
        counts["passed"],
        counts["warning"],
        counts["failed"],
    )
    for result in results:
        if result.status == "warning":
            log.warning("%s: %s: %s (asked: %s). %s", *_said(result))
    return results


def _said(result: Result) -> tuple[str, str, str, str, str]:
    return result.table_name, result.check_name, result.observed, result.threshold, result.remedy


def _page(lake: Path, run_id: str, stage: str) -> Path:
    return run_dir(lake, run_id) / f"checks_{stage}.html"


def _write_page(lake: Path, results: list[Result], stage: str, as_of: str, run_id: str) -> None:
    write_atomically(_page(lake, run_id, stage), page_html(results, stage, as_of, run_id))


def _main(args: argparse.Namespace) -> dict[str, Any]:
    check = check_clean if args.stage == "clean" else check_tables
    results = check(args.lake, args.as_of, args.run_id)
    page = _page(args.lake, args.run_id, args.stage)
    if stopping := failed(results):
        lines = ["{}: {}\n    seen: {}; asked: {}\n    {}".format(*_said(result)) for result in stopping]
        raise StepError(
            f"{len(stopping)} of {len(results)} checks failed:\n" + "\n".join(lines),
            f"What stands under each check; all of them are on {page}. What was published before stays in place.",
        )
    counts = Counter(result.status for result in results)
    return {"checks": len(results), "passed": counts["passed"], "warnings": counts["warning"], "page": str(page)}


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--stage", choices=("clean", "tables"), required=True, help="which tables to check")
    # The report is named by the stage: both of a run's reports stay.
    stage = parser.parse_args(argv).stage
    run_step(f"check_{stage}", _main, parser, argv)


if __name__ == "__main__":
    main()

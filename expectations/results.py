"""Results of checks: how a suite is run, and the rows of `data_quality_results` that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.checks import Check, Figure, FigureCheck, RowCheck, Suite, in_unit
from expectations.tables import OUTPUTS
from expectations.validator import EXAMPLES, Outcome, Validator

if TYPE_CHECKING:
    import pandas as pd

MODEL_VERSION = "suites-1"
#: Rows of a table in memory at a time.
CHUNK_ROWS = 500_000

_IN_RANGE = "expect_column_values_to_be_between"


@dataclass(frozen=True)
class Result:
    """One row of `data_quality_results`, and what to do about it."""

    stage: str
    table_name: str
    check_name: str
    column_name: str | None
    status: str
    severity: str
    observed: str
    threshold: str
    rows_checked: int
    model_version: str = field(default=MODEL_VERSION)
    remedy: str = field(default="", compare=False)


def run_suite(suite: Suite, connection: duckdb.DuckDBPyConnection, validator: Validator) -> list[Result]:
    """Run one table's checks on the views of `connection` and return a result for each, in the suite's order."""
    row_checks = [check for check in suite.checks if isinstance(check, RowCheck)]
    figure_checks = [check for check in suite.checks if isinstance(check, FigureCheck)]
    found = {
        **_check_rows(suite, row_checks, connection.table(suite.source), validator),
        **_check_figures(suite, figure_checks, connection, validator),
    }
    return [found[check.name] for check in suite.checks]


def not_handed_over(suite: Suite) -> Result:
    """Return the one result of a feed that the shop does not have."""
    return Result(
        suite.stage,
        suite.table.name,
        "The feed is optional",
        None,
        "passed",
        "warning",
        "not handed over: what depends on it is switched off",
        "may be missing",
        0,
    )


def _check_rows(
    suite: Suite, checks: list[RowCheck], rows: duckdb.DuckDBPyRelation, validator: Validator
) -> dict[str, Result]:
    absent = {check.name: [c for c in check.reads if c not in rows.columns] for check in checks}
    askable = [check for check in checks if not absent[check.name]]
    needed = sorted({column for check in askable for column in check.reads})
    expectations = [(check.expectation, check.arguments) for check in askable]
    seen: dict[str, list[Outcome]] = {check.name: [] for check in askable}
    count = 0
    for frame in _frames(rows, needed):
        count += len(frame)
        outcomes = validator.validate(suite.table.name, frame, expectations)
        for check, outcome in zip(askable, outcomes, strict=True):
            seen[check.name].append(outcome)
    results = {}
    for check in checks:
        if absent[check.name]:
            passed, observed = False, f"the column {', '.join(absent[check.name])} is missing"
        else:
            passed, observed = _together(seen[check.name], count)
        results[check.name] = _result(suite, check, check.column, passed, observed, count)
    return results


def _frames(rows: duckdb.DuckDBPyRelation, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Yield rows as dataframes of at most CHUNK_ROWS; decimals as doubles, as pandas knows no decimals."""
    if not columns:
        return
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    selected = (f"{c}::double as {c}" if types[c].startswith("DECIMAL") else c for c in columns)
    reader = rows.project(", ".join(selected)).to_arrow_reader(CHUNK_ROWS)
    held: list[pa.RecordBatch] = []
    for batch in reader:
        held.append(batch)
        if sum(map(len, held)) >= CHUNK_ROWS:
            yield pa.Table.from_batches(held).to_pandas()
            held = []
    if held:
        yield pa.Table.from_batches(held).to_pandas()


def _together(outcomes: list[Outcome], rows: int) -> tuple[bool, str]:
    """Say what was seen in all chunks together."""
    if problem := next((o.problem for o in outcomes if o.problem), None):
        return False, f"could not be asked: {problem}"
    if not rows:
        return True, "no rows to look at"
    if all(outcome.passed for outcome in outcomes):
        return True, f"all of {rows:,} rows"
    examples = sorted({example for outcome in outcomes for example in outcome.examples})[:EXAMPLES]
    some = f", such as {', '.join(examples)}" if examples else ""
    return False, f"{sum(outcome.unexpected for outcome in outcomes):,} of {rows:,} rows do not{some}"


def _check_figures(
    suite: Suite, checks: list[FigureCheck], connection: duckdb.DuckDBPyConnection, validator: Validator
) -> dict[str, Result]:
    """Compute all figures, lay them side by side in a dataframe of one row, and ask for their ranges."""
    import pandas as pd

    if not checks:
        return {}
    figures: dict[str, Figure] = {}
    problems: dict[str, str] = {}
    for check in checks:
        try:
            figures[check.name] = check.figure(connection)
        except duckdb.BinderException as error:
            # A column is missing: the check of the table's shape names it.
            figures[check.name] = Figure(None, 0)
            problems[check.name] = str(error).splitlines()[0]
    frame = pd.DataFrame({name: pd.Series([figure.value], dtype="float64") for name, figure in figures.items()})
    ranges = [
        (_IN_RANGE, {"column": check.name, "min_value": check.low, "max_value": check.high}) for check in checks
    ]
    outcomes = validator.validate(suite.table.name, frame, ranges)
    results = {}
    for check, outcome in zip(checks, outcomes, strict=True):
        figure = figures[check.name]
        problem = problems.get(check.name) or outcome.problem
        passed = outcome.passed and not problem
        example = f", such as {figure.example}" if figure.example and not passed else ""
        seen = in_unit(figure.value, check.unit) + example
        observed = f"could not be asked: {problem}" if problem else seen
        results[check.name] = _result(suite, check, check.column, passed, observed, figure.rows)
    return results


def _result(suite: Suite, check: Check, column: str | None, passed: bool, observed: str, rows: int) -> Result:
    status = "passed" if passed else "failed" if check.severity == "error" else "warning"
    return Result(
        suite.stage,
        suite.table.name,
        check.name,
        column,
        status,
        check.severity,
        observed,
        check.threshold,
        rows,
        remedy=check.remedy,
    )


def as_table(results: Sequence[Result], run_id: str) -> pa.Table:
    """Return results as Arrow: OUTPUTS['data_quality_results'] and model_version; the run is in the metadata."""
    types = {"string": pa.string(), "integer": pa.int64()}
    columns = [(c.name, types[c.type]) for c in OUTPUTS["data_quality_results"].columns]
    schema = pa.schema([*columns, ("model_version", pa.string())], metadata={"run_id": run_id})
    ordered = sorted(results, key=lambda result: (result.stage, result.table_name, result.check_name))
    rows = [{name: value for name, value in asdict(r).items() if name in schema.names} for r in ordered]
    return pa.Table.from_pylist(rows, schema=schema)


def write_results(file: Path, results: Sequence[Result], run_id: str) -> None:
    """Put a results file in place whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.tmp")
    pq.write_table(as_table(results, run_id), aside, compression="zstd")
    aside.replace(file)


def read_results(file: Path, run_id: str) -> list[Result] | None:
    """Read the results that a run left; None where the file is not there or another run's."""
    if not file.exists():
        return None
    table = pq.read_table(file)
    if (table.schema.metadata or {}).get(b"run_id") != run_id.encode():
        return None
    return [Result(**row) for row in table.to_pylist()]

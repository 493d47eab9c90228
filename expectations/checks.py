"""What a suite is made of: checks, in words, with what to do when they fail.

Two kinds. A `RowCheck` is a Great Expectations expectation on each row of the table. A `FigureCheck` is one figure
over the table or several (how many keys stand twice, today's events against the usual day), computed by DuckDB,
and the range in which Great Expectations expects it. Suites are data: reading them imports no Great Expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import duckdb

from expectations.tables import CLEAN, PUBLISHED, Table

Severity = Literal["error", "warning"]
Stage = Literal["clean", "tables"]


#: How columns are called in sentences, where their names read badly.
_COLUMN_WORDS = {
    "event_at": "time",
    "contacted_at": "time",
    "created_at": "time",
    "requested_at": "time",
    "event_date": "day",
    "contacted_on": "day",
    "created_on": "day",
    "arrived_on": "day of arrival",
    "starts_on": "first day",
    "ends_on": "last day",
    "measured_from": "first day measured",
    "measured_to": "last day measured",
    "raw": "raw text",
    "reason_text": "reason in English",
    "reason_text_zh": "reason in Chinese",
    "is_cold_start": "mark of a cold start",
    "is_exploration": "mark of exploration",
    "is_promoted": "mark of promotion",
}


class Figure(NamedTuple):
    """One figure: its value (None: it cannot be told yet), the rows it was taken from, and an example."""

    value: float | None
    rows: int
    example: str | None = None


@dataclass(frozen=True)
class RowCheck:
    """An expectation on each row: `expectation` is Great Expectations' name, `arguments` what it takes."""

    name: str
    column: str
    expectation: str
    arguments: dict[str, Any]
    threshold: str
    remedy: str
    severity: Severity = "error"
    columns: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return self.columns or (self.column,)


@dataclass(frozen=True)
class FigureCheck:
    """A figure that is expected in [low, high]; either end may be open."""

    name: str
    figure: Callable[[duckdb.DuckDBPyConnection], Figure]
    unit: str
    remedy: str
    low: float | None = None
    high: float | None = None
    severity: Severity = "error"
    column: str | None = None

    @property
    def threshold(self) -> str:
        """The range in words."""
        if self.low == self.high:
            return in_unit(self.low, self.unit)
        if self.high is None:
            return f"at least {in_unit(self.low, self.unit)}"
        if self.low is None:
            return f"at most {in_unit(self.high, self.unit)}"
        return f"{self.low:g} to {in_unit(self.high, self.unit)}"


def in_unit(value: float | None, unit: str) -> str:
    """Say a figure with its unit; a share of something as a percentage."""
    if value is None:
        return "nothing yet to compare with"
    return f"{100 * value:.4g}% {unit}" if unit.startswith("of the ") else f"{value:,.10g} {unit}"


Check = RowCheck | FigureCheck


@dataclass(frozen=True)
class Suite:
    """The checks of one table. `source` is the view with the rows that row checks look at."""

    stage: Stage
    table: Table
    checks: Sequence[Check]
    source: str = field(default="")


def clean_suite(name: str, noun: str, *checks: Check, may_be_empty: Sequence[str] = ()) -> Suite:
    """Return the suite of a clean table: what every one has, then its own checks, on the rows new to this day."""
    table, source = CLEAN[name], f"new.{name}"
    key = table.key if table.partition != "arrived_on" or name == "bots" else (*table.key, "arrived_on")
    remedy = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."
    return Suite(
        "clean",
        table,
        (
            shape(table, source, "Clean again with --full-refresh: the table was written by another release."),
            no_duplicates(f"No {noun} stands twice", source, key, remedy),
            *(never_empty(noun, column, remedy) for column in table.required if column not in may_be_empty),
            *checks,
        ),
        source,
    )


def published_suite(name: str, noun: str, *checks: Check) -> Suite:
    """Return the suite of a published table: what every one has, then its own checks."""
    table, source = PUBLISHED[name], f"published.{name}"
    remedy = f"See the model {name} in dbt_project/models/marts/published and what it reads."
    run_columns = ("as_of_date", "run_id", "model_version", "generated_at")
    required = [column for column in table.required if column not in run_columns]
    return Suite(
        "tables",
        table,
        (
            shape(table, source, remedy),
            no_duplicates(f"No {noun} stands twice", source, table.key, remedy),
            *(never_empty(noun, column, remedy) for column in required),
            *checks,
        ),
        source,
    )


def from_sql(query: str) -> Callable[[duckdb.DuckDBPyConnection], Figure]:
    """Return a figure told by a query of one row: value, rows, and if it likes an example."""

    def figure(connection: duckdb.DuckDBPyConnection) -> Figure:
        (row,) = connection.execute(query).fetchall()
        return Figure(row[0] if row[0] is None else float(row[0]), int(row[1] or 0), *(row[2:3]))

    return figure


def no_duplicates(name: str, source: str, key: Sequence[str], remedy: str) -> FigureCheck:
    """Expect that a key is unique."""
    columns = ", ".join(key)

    def figure(connection: duckdb.DuckDBPyConnection) -> Figure:
        keys = connection.table(source).aggregate(f"{columns}, count(*) as copies", columns)
        example = f"min(concat_ws(', ', {columns})) filter (where copies > 1)"
        row = keys.aggregate(
            f"count(*) filter (where copies > 1), coalesce(sum(copies), 0), {example}"
        ).fetchall()[0]
        return Figure(float(row[0]), int(row[1]), row[2])

    return FigureCheck(name, figure, "keys twice", remedy, low=0, high=0, column=columns)


def shape(table: Table, source: str, remedy: str) -> FigureCheck:
    """Expect all of the table's columns, typed as agreed (a timestamp may carry its zone)."""

    def figure(connection: duckdb.DuckDBPyConnection) -> Figure:
        rows = connection.table(source)
        found = {
            name: str(type_).removesuffix(" WITH TIME ZONE")
            for name, type_ in zip(rows.columns, rows.types, strict=True)
        }
        wrong = [
            f"{c.name} is {found.get(c.name, 'missing')}"
            for c in table.columns
            if found.get(c.name) != c.duckdb_type
        ]
        return Figure(float(len(wrong)), len(table.columns), ", ".join(wrong) or None)

    return FigureCheck(
        "Every column is there, typed as agreed", figure, "columns otherwise", remedy, low=0, high=0
    )


def never_empty(noun: str, column: str, remedy: str) -> RowCheck:
    """Expect a value in each row."""
    return RowCheck(
        f"Every {noun} has its {_COLUMN_WORDS.get(column) or column.replace('_', ' ')}",
        column,
        "expect_column_values_to_not_be_null",
        {"column": column},
        "never empty",
        remedy,
    )


def one_of(name: str, column: str, values: Sequence[Any], remedy: str, severity: Severity = "error") -> RowCheck:
    """Expect one of some values, or none."""
    return RowCheck(
        name,
        column,
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": list(values)},
        f"one of {', '.join(map(str, values))}",
        remedy,
        severity,
    )


def between(
    name: str,
    column: str,
    low: float,
    high: float | None,
    remedy: str,
    severity: Severity = "error",
    *,
    above: bool = False,
) -> RowCheck:
    """Expect a number in [low, high], or none; with `above`, more than `low`."""
    if high is None:
        threshold = f"above {low}" if above else f"at least {low}"
    else:
        threshold = f"above {low}, at most {high}" if above else f"{low} to {high}"
    arguments = {"column": column, "min_value": low, "max_value": high, "strict_min": above}
    return RowCheck(name, column, "expect_column_values_to_be_between", arguments, threshold, remedy, severity)


def matches(
    name: str, column: str, pattern: str, said: str, remedy: str, severity: Severity = "error"
) -> RowCheck:
    """Expect text of a form, said in words, or none."""
    return RowCheck(
        name,
        column,
        "expect_column_values_to_match_regex",
        {"column": column, "regex": pattern},
        said,
        remedy,
        severity,
    )


def at_least_as(name: str, larger: str, smaller: str, remedy: str, severity: Severity = "error") -> RowCheck:
    """Expect one column never to be below another."""
    return RowCheck(
        name,
        larger,
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": larger, "column_B": smaller, "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        f"never below {smaller}",
        remedy,
        severity,
        columns=(larger, smaller),
    )


def pseudonyms(name: str, column: str = "user_id") -> RowCheck:
    """Expect user ids to be pseudonyms: no id of the shop's own may pass landing."""
    return matches(
        name,
        column,
        r"^[0-9a-f]{32}$",
        "32 hexadecimal digits",
        "Stop: ids of real users may stand in the lake. Delete its clean/ folder and clean again.",
    )

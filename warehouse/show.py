"""Print one user's portrait and top ten recommendations with their reasons, from the warehouse in place.

Without --user it takes one whose reasons differ most and whose portrait rests on the most evidence.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from expectations.tables import PUBLISHED
from qianmian.step import EXIT_BAD_INPUT, StepError
from warehouse.text_table import Cell, display_width, padded, text_table, wrapped

WIDTH = 100
TOP = 10
_PORTRAIT = PUBLISHED["user_portraits"].column_names
_RICHEST_FIRST = (
    "orders_90d >= 2 desc, reasons desc nulls last, is_cold_start, confidence desc, orders_365d desc, user_id"
)
_WINDOW = re.compile(r"(.+)_(7|30|90|365)d")
_WINDOWS = "7/30/90/365 days"
#: What every row carries, said once in the heading.
_NOT_SHOWN = ("user_id", "as_of_date", "run_id", "model_version", "generated_at")
_IN_WORDS = ("portrait_text", "portrait_text_zh", "taste_segment")


def show(warehouse: Path, user_id: str | None = None, lang: str = "en") -> str:
    """Return a portrait and a top ten as plain text, at most 100 columns wide.

    Args:
        warehouse: the DuckDB file.
        user_id: a pseudonym; without one, a user whose reasons differ most, with the most evidence.
        lang: language of the reasons, en or zh.

    Raises:
        StepError: there is no warehouse, nothing is published, or it does not know the user.

    """
    if not warehouse.exists():
        raise StepError(f"{warehouse} is not there.", "Publish a run first: make run.")
    reason = "reason_text_zh" if lang == "zh" else "reason_text"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        shown = connection.table("home_recommendations").filter(f"surface = 'home' and rank <= {TOP}")
        reasons = shown.aggregate("user_id, count(distinct reason_code) as reasons", "user_id")
        portraits = connection.table("user_portraits").join(reasons, "user_id", "left")
        chosen = portraits.filter(duckdb.ColumnExpression("user_id") == user_id) if user_id else portraits
        rows = chosen.order(_RICHEST_FIRST).project(", ".join(_PORTRAIT)).limit(1).fetchall()
        if not rows:
            who = f"no user {user_id}" if user_id else "no portrait yet"
            raise StepError(f"{warehouse} has {who}.", "Give a pseudonym from user_portraits, or publish a run.")
        portrait = dict(zip(_PORTRAIT, rows[0], strict=True))
        items = (
            shown.filter(duckdb.ColumnExpression("user_id") == portrait["user_id"])
            .order("rank")
            .project(f"rank, item_id, probability, candidate_source, {reason}")
            .fetchall()
        )
    lines = [f"User {portrait['user_id']} as of {portrait['as_of_date']} (run {portrait['run_id']})", ""]
    if text := portrait["portrait_text_zh" if lang == "zh" else "portrait_text"]:
        lines += [*wrapped(text, WIDTH), ""]
    lines += _portrait_lines({name: value for name, value in portrait.items() if name not in _IN_WORDS})
    lines += ["", f"Top {len(items)} for the home page"]
    lines += text_table(("#", "item", "chance", "source", "why"), [_item_cells(row) for row in items], WIDTH)
    return "\n".join(lines)


def _portrait_lines(portrait: dict[str, Any]) -> list[str]:
    """Lay the portrait out in two columns; the four windows of a figure share one line."""
    facts: dict[str, str] = {}
    for name, value in portrait.items():
        window = _WINDOW.fullmatch(name)
        label = f"{window[1]} {_WINDOWS}" if window else name
        if name not in _NOT_SHOWN and value is not None:
            said = _in_words(value)
            facts[label] = f"{facts[label]} / {said}" if label in facts else said
    names = [label.replace("_", " ") for label in facts]
    half = (len(names) + 1) // 2
    left = _aligned(names[:half], list(facts.values())[:half])
    right = _aligned(names[half:], list(facts.values())[half:])
    wide = max(map(display_width, left)) + 4
    if wide + max(map(display_width, right)) > WIDTH:
        return [*left, *right]
    return [f"{padded(a, wide)}{b}".rstrip() for a, b in zip(left, [*right, ""], strict=False)]


def _aligned(names: list[str], values: list[str]) -> list[str]:
    """Lay names and values out in two columns."""
    wide = max(map(display_width, names)) + 2
    return [padded(name, wide) + value for name, value in zip(names, values, strict=True)]


def _item_cells(row: tuple[Any, ...]) -> tuple[Cell, ...]:
    rank, item_id, probability, source, reason = row
    return rank, item_id, f"{probability:.2%}", source, reason


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    parser.add_argument("--user", help="pseudonym of the user to show")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language of the reasons")
    args = parser.parse_args(argv)
    try:
        print(show(args.warehouse, args.user, args.lang))
    except StepError as error:
        print(f"ERROR: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()

"""What the readers of all formats speak in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from expectations.tables import FEEDS, Table
from spark_jobs.pseudonyms import Pseudonyms

MALFORMED = "malformed"
LINE_TOO_LONG = "line_too_long"
WRONG_TYPE = "wrong_type"
USER_ID = "user_id"
HIDDEN = "(not kept)"


class RawRow(NamedTuple):
    """One row as read. `problem` is the reason why it is broken, if it is; then `values` is None.

    `values` are the feed's columns in order, as text without surrounding blanks, the user id a pseudonym:
    empty where the row brings the column without a value, None where it does not bring the column.
    `raw` is the row's text with the user id replaced and what no column asks for hidden; empty for a
    sound row of a format without text, where it is the values.
    """

    number: int
    raw: str
    problem: str | None
    values: list[str | None] | None


class UnreadableFileError(Exception):
    """The file is wrong as a whole. `what` goes on after its name; `remedy` says what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@dataclass
class RowReader:
    """What a reader of any format holds: the feed's shape, the pseudonyms, and which columns it has seen."""

    feed: str
    pseudonyms: Pseudonyms
    columns_seen: set[str] = field(default_factory=set)

    @property
    def table(self) -> Table:
        """The feed's table."""
        return FEEDS[self.feed]

    def check_columns(self, where: str) -> None:
        """Raise UnreadableFileError unless all required columns have been seen."""
        missing = [name for name in self.table.required if name not in self.columns_seen]
        if missing:
            found = ", ".join(sorted(self.columns_seen)[:20]) or "none"
            raise UnreadableFileError(
                f"{where} without the required column {', '.join(missing)} (found: {found})",
                f"Have the shop write {', '.join(missing)} in every file of {self.feed}, under that name"
                + (
                    "; user_id may be empty for visitors that are not known."
                    if self.feed == "events" and USER_ID in missing
                    else "."
                ),
            )


def numbered(rows: Iterator[tuple[str, str | None, list[str | None] | None]]) -> Iterator[RawRow]:
    """Number rows from 1."""
    for number, (raw, problem, values) in enumerate(rows, start=1):
        yield RawRow(number, raw, problem, values)

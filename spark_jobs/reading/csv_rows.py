"""CSV with a header, separated by commas, quoted by double quotes; a quoted value may hold line ends."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from spark_jobs.reading.lines import LONGEST_LINE, Line, read_lines
from spark_jobs.reading.rows import (
    HIDDEN,
    LINE_TOO_LONG,
    MALFORMED,
    USER_ID,
    RawRow,
    RowReader,
    UnreadableFileError,
    numbered,
)


class _Lines:
    """The lines csv reads from: counts what one record took, and takes lines back.

    A quote left open would swallow what follows it. So a record that comes out wrong costs its first line
    only: the lines after it are read again as records of their own.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self.taken: list[Line] = []
        self._characters = 0

    def start_record(self) -> None:
        self.taken = []
        self._characters = 0

    def take_back_all_but_first(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        self._characters += len(line.text)
        if line.too_long or self._characters > LONGEST_LINE:
            raise csv.Error("longer than a record may be")
        return line.text + "\n"


class CsvReader(RowReader):
    """Reads one feed's CSV files."""

    def read(self, path: Path) -> Iterator[RawRow]:
        """Yield a file's rows; blank lines are none. Raises UnreadableFileError."""
        return numbered(self._rows(path))

    def _rows(self, path: Path) -> Iterator[tuple[str, str | None, list[str | None] | None]]:
        csv.field_size_limit(LONGEST_LINE)
        lines = _Lines(read_lines(path))
        records = csv.reader(lines, strict=True)
        header = self._header(lines, records)
        places = {name: place for place, name in enumerate(header)}
        order = [places.get(name) for name in self.table.column_names]
        user = places.get(USER_ID)
        private = [place for place, name in enumerate(header) if name not in self.table.column_names]
        while True:
            lines.start_record()
            try:
                fields = next(records)
            except StopIteration:
                return
            except csv.Error:
                fields = None
            if fields is not None and len(fields) == len(header):
                if any("\0" in field for field in fields):
                    yield self._unusable(_split(lines.taken[0].text), header), MALFORMED, None
                    continue
                if user is not None and (user_id := fields[user].strip()):
                    fields[user] = self.pseudonyms.of(user_id)
                values = [None if place is None else fields[place].strip() for place in order]
                for place in private:
                    fields[place] = HIDDEN
                yield _joined(fields), None, values
            elif fields is not None and not any(fields) and len(fields) <= 1 and len(lines.taken) == 1:
                continue  # a blank line
            else:
                lines.take_back_all_but_first()
                first = lines.taken[0]
                problem = LINE_TOO_LONG if first.too_long else MALFORMED
                yield self._unusable(_split(first.text), header), problem, None

    def _header(self, lines: _Lines, records: Iterator[list[str]]) -> list[str]:
        try:
            header = [name.strip() for name in next(records, [])]
        except csv.Error:
            header = []
        if lines.taken and lines.taken[0].too_long:
            raise UnreadableFileError(
                f"has a first line longer than {LONGEST_LINE} bytes, so no header",
                "Have the shop write a CSV whose first line names the columns.",
            )
        self.columns_seen = set(header)
        known = self.columns_seen & set(self.table.column_names)
        if not known:
            raise UnreadableFileError(
                "has no header: its first line names none of the columns",
                f"Have the shop write the names as the first line, separated by commas: "
                f"{','.join(self.table.required)},...",
            )
        if len(header) != len(self.columns_seen):
            twice = sorted({name for name in header if header.count(name) > 1})
            raise UnreadableFileError(
                f"names a column twice in its header: {', '.join(twice)}", "Have the shop write each column once."
            )
        self.check_columns("has a header")
        return header

    def _unusable(self, fields: list[str], header: list[str]) -> str:
        """Join a row whose fields may have shifted, without any that could be the user id or unasked for."""
        shift = len(fields) - len(header)
        hidden: dict[int, str] = {}
        for place, name in enumerate(header):
            if name == USER_ID or name not in self.table.column_names:
                for shifted in range(place + min(shift, 0), place + max(shift, 0) + 1):
                    hidden[shifted] = name
        kept = []
        for place, value in enumerate(fields):
            if place in hidden and value.strip():
                is_user = USER_ID in self.table.column_names and hidden[place] == USER_ID
                kept.append(self.pseudonyms.of(value.strip()) if is_user else HIDDEN)
            else:
                kept.append(value)
        return _joined(kept)


def _split(text: str) -> list[str]:
    """Split a line as well as it can be: by the rules, or where they fail at each comma."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return text.split(",")


def _joined(fields: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(fields)
    return written.getvalue()

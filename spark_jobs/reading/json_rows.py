"""JSON Lines: one object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spark_jobs.reading.lines import read_lines
from spark_jobs.reading.rows import (
    HIDDEN,
    LINE_TOO_LONG,
    MALFORMED,
    USER_ID,
    WRONG_TYPE,
    RawRow,
    RowReader,
    UnreadableFileError,
    numbered,
)

# Numbers stay the text they came as: "12.30" is a price, and a cast in Spark decides what it is worth.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_USER_ID = re.compile(r'("user_id"\s*:\s*)("(?:[^"\\]|\\.)*"|[^\s",{}\[\]]+)')
# In text that is not JSON (any more): each name with its text, the last of which may be cut off.
_NAME_AND_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:\s*")((?:[^"\\]|\\.?)*)')
# Likewise: whatever follows the name, up to where a value may end.
_BROKEN_USER_ID = re.compile(r"""(user_?id\\*["']?\s*[:=]?\s*\\*["']?)([^"',{}\[\]\\]+)""", re.IGNORECASE)
# In a file of fewer rows than this, one row's fault may be all rows': they are judged one by one.
_FEW_ROWS = 3


class JsonReader(RowReader):
    """Reads one feed's JSON Lines files."""

    def read(self, path: Path) -> Iterator[RawRow]:
        """Yield a file's rows; blank lines are none. Raises UnreadableFileError."""
        self.columns_seen = set()
        return numbered(self._rows(path))

    def _rows(self, path: Path) -> Iterator[tuple[str, str | None, list[str | None] | None]]:
        objects = broken_objects = others = 0
        for line in read_lines(path):
            text = line.text.strip()
            if not text:
                continue
            if line.too_long:
                others += 1
                yield self._redacted(text), LINE_TOO_LONG, None
            elif (row := _object(text)) is None or not _is_unicode(text, row):
                broken_objects += text.startswith("{")
                others += not text.startswith("{")
                raw = self._redacted(text) if row is None else json.dumps(self._kept(row))
                yield raw, MALFORMED, None
            else:
                objects += 1
                yield self._row(text, row)
        if objects == 0 and (broken_objects == 0 or broken_objects + others >= _FEW_ROWS):
            raise UnreadableFileError(
                f"is not JSON Lines: none of its {broken_objects + others} lines is an object",
                "Have the shop write one JSON object a line, {...} and nothing around it, "
                "or name the file by what it is (.csv, .parquet).",
            )
        if objects >= _FEW_ROWS:
            self.check_columns("has no row")

    def _row(self, text: str, row: dict[str, Any]) -> tuple[str, str | None, list[str | None] | None]:
        if not row.keys() <= self.columns_seen:
            self.columns_seen.update(row)
        problem = None
        values: list[str | None] = []
        for name in self.table.column_names:
            value = row.get(name)
            if isinstance(value, str):
                value = value.strip()
                if name == USER_ID and value:
                    value = self.pseudonyms.of(value)
            elif isinstance(value, bool):
                value = "true" if value else "false"
            elif isinstance(value, list | dict):
                problem = problem or f"{WRONG_TYPE}:{name}"
                value = None
            elif name in row:
                value = ""
            values.append(value)
        return self._raw(text, row), problem, None if problem else values

    def _raw(self, text: str, row: dict[str, Any]) -> str:
        """The line as it came, but for the user id, and without the values of columns that nobody asked for."""
        unasked = row.keys() - set(self.table.column_names)
        if not unasked:
            if USER_ID not in row:
                return text
            replaced, times = _USER_ID.subn(self._replace, text)
            if times == 1 and "\\" not in text.partition(USER_ID)[0]:
                return replaced
        return json.dumps(self._kept(row), ensure_ascii=False)

    def _kept(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with its user id replaced, and what nobody asked for hidden."""
        kept: dict[str, Any] = {}
        for name, value in row.items():
            if name not in self.table.column_names or isinstance(value, list | dict):
                kept[name] = HIDDEN
            elif name == USER_ID and isinstance(value, str) and value.strip():
                kept[name] = self.pseudonyms.of(value.strip())
            else:
                kept[name] = value
        return kept

    def _replace(self, found: re.Match[str]) -> str:
        value = found[2]
        if value in ("null", "true", "false"):
            return found[0]
        user_id = (json.loads(value, strict=False) if value.startswith('"') else value).strip()
        return found[1] + (f'"{self.pseudonyms.of(user_id)}"' if user_id else '""')

    def _redacted(self, text: str) -> str:
        def hide(found: re.Match[str]) -> str:
            return found[0] if found[1] in self.table.column_names else f'"{found[1]}"{found[2]}{HIDDEN}'

        def replace(found: re.Match[str]) -> str:
            return found[1] + self.pseudonyms.of(found[2].strip())

        return _BROKEN_USER_ID.sub(replace, _NAME_AND_TEXT.sub(hide, text))


def _object(text: str) -> dict[str, Any] | None:
    """Return the object in a line; None where it is none."""
    try:
        row = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _is_unicode(text: str, row: dict[str, Any]) -> bool:
    """Tell whether a line's object holds nothing but Unicode text without NUL, which no column can keep."""
    if "\\u" not in text and "\0" not in text:
        return True
    try:
        return b"\\u0000" not in json.dumps(row, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False  # half of a surrogate pair

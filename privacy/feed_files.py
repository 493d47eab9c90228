"""A feed's file without the rows of forgotten users: same format, same compression, all else byte for byte.

Text is gone through line by line, Parquet by row groups, so that memory is bounded. Rows are told apart as
cleaning tells them (`spark_jobs/reading`); a line that it could not read goes
where any piece of it is the user's id.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expectations.tables import day_in
from privacy.parquet_files import rewrite_parquet
from privacy.rule import Rule, moment_column
from qianmian.step import StepError

_BOM = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_LONGEST = 1 << 20


def forget_in_file(path: Path, feed: str, rule: Rule) -> Counter[str]:
    """Rewrite a feed's file without forgotten users' rows, atomically, and return their number by pseudonym.

    A file without such rows is left alone; one of which no row is left may be deleted (see `is_emptied`).

    Raises:
        StepError: the file cannot be read, so nobody can say who is in it.

    """
    if not moment_column(feed):
        return Counter()
    try:
        if path.name.lower().endswith(".parquet"):
            return rewrite_parquet(path, lambda rows: _owners(rows, path, feed, rule))
        return _forget_in_text(path, feed, rule)
    except (pa.ArrowException, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StepError(
            f"{path} cannot be read ({str(error).splitlines()[0]}), so it cannot be said who is in it.",
            "Have the shop hand the file over again, land it, and run this again; or delete it in both places.",
        ) from error


def names_in_file(path: Path, feed: str, rule: Rule) -> bool:
    """Tell whether a feed's file holds a row of a forgotten user."""
    if path.name.lower().endswith(".parquet"):
        with pq.ParquetFile(path) as file:
            return any(any(_owners(file.read_row_group(n), path, feed, rule)) for n in range(file.num_row_groups))
    with _opened(path) as stream:
        return any(owner for _, owner in _records(path, stream, feed, rule))


def is_emptied(path: Path) -> bool:
    """Tell whether a file has no content left: a file of JSON Lines without a line is none that cleaning reads."""
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as file:
            return not file.read(1)
    return path.stat().st_size == 0


def _forget_in_text(path: Path, feed: str, rule: Rule) -> Counter[str]:
    if not names_in_file(path, feed, rule):
        return Counter()
    removed: Counter[str] = Counter()
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _opened(path) as stream, aside.open("wb") as raw:
        # No name and no time in the archive: the same rows make the same bytes.
        packed = path.name.lower().endswith(".gz")
        written = cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if packed else raw
        for lines, owner in _records(path, stream, feed, rule):
            if owner is None:
                written.writelines(lines)
            else:
                removed[owner] += 1
        if packed:
            written.close()
        raw.flush()
        os.fsync(raw.fileno())
    aside.replace(path)
    return removed


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _records(path: Path, stream: BinaryIO, feed: str, rule: Rule) -> Iterator[tuple[list[bytes], str | None]]:
    is_csv = path.name.lower().removesuffix(".gz").endswith(".csv")
    return _csv_records(stream, path, feed, rule) if is_csv else _json_records(stream, path, feed, rule)


def _json_records(stream: BinaryIO, path: Path, feed: str, rule: Rule) -> Iterator[tuple[list[bytes], str | None]]:
    """Yield each line with the forgotten user that it is of, None for all others."""
    moment, day = moment_column(feed), _day(path, feed)
    for line in stream:
        text = line.removeprefix(_BOM).decode("utf-8", "replace").strip()
        try:
            row = _DECODER.decode(text) if len(line) <= _LONGEST else None
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            yield [line], rule.owner_of_text(text)
            continue
        user = row.get("user_id")
        owner = rule.owner(user, _text(row.get(moment)), day) if isinstance(user, str) else None
        if owner is None and isinstance(user, list | dict):
            owner = rule.owner_of_text(text)
        yield [line], owner


def _day(path: Path, feed: str) -> date | None:
    """Return the day in a file's path, below its feed's folder."""
    parts = path.parts
    below = len(parts) - 1 - parts[::-1].index(feed) if feed in parts else 0
    return day_in("/".join(parts[below:]))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class _Lines:
    """The lines csv reads from, which takes all but the first of a broken record back, as cleaning does."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._again: deque[bytes] = deque()
        self.taken: list[bytes] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        if sum(map(len, self.taken)) > _LONGEST:
            raise csv.Error("longer than a record may be")
        return _line_text(line) + "\n"

    def take_back_all_but_first(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _line_text(line: bytes) -> str:
    return line.removeprefix(_BOM).decode("utf-8", "replace").rstrip("\r\n")


def _csv_records(stream: BinaryIO, path: Path, feed: str, rule: Rule) -> Iterator[tuple[list[bytes], str | None]]:
    """Yield each record's lines with the forgotten user that it is of; the header is nobody's."""
    csv.field_size_limit(_LONGEST)
    lines = _Lines(stream)
    records = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(records, [])]
    except csv.Error:
        header = []
    yield lines.taken, None
    places = {name: place for place, name in enumerate(header)}
    day = _day(path, feed)
    user, moment = places.get("user_id"), places.get(moment_column(feed))
    while True:
        lines.taken = []
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error:
            fields = None
        if fields is not None and len(fields) == len(header) and user is not None:
            owner = rule.owner(fields[user], fields[moment] if moment is not None else "", day)
            yield lines.taken, owner
        else:
            lines.take_back_all_but_first()
            yield lines.taken, rule.owner_of_text(_line_text(lines.taken[0]))


def _owners(rows: pa.Table, path: Path, feed: str, rule: Rule) -> list[str | None]:
    """Return, for each row of a Parquet feed, the forgotten user that it is of."""
    nobody: list[str | None] = [None] * rows.num_rows
    if "user_id" not in rows.column_names:
        return nobody
    ids = _strings(rows["user_id"]).combine_chunks().dictionary_encode()
    names = ids.dictionary.to_pylist()
    is_known = [bool(name) and rule.user_of(name) is not None for name in names]
    if not any(is_known):
        return nobody
    moment, day = moment_column(feed), _day(path, feed)
    times = _moments(rows[moment]) if moment in rows.column_names else [""] * rows.num_rows
    return [
        rule.owner(names[index], time, day) if index is not None and is_known[index] else None
        for index, time in zip(ids.indices.to_pylist(), times, strict=True)
    ]


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.utf8_trim_whitespace(column.cast(pa.string()))


def _moments(column: pa.ChunkedArray) -> list[str]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.timestamp("us", "UTC"))
        return [value.isoformat(sep=" ") if value else "" for value in column.to_pylist()]
    return [value or "" for value in _strings(column).to_pylist()]

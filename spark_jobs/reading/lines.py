"""A text file's lines with bounded memory, whatever is in it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from spark_jobs.reading.rows import UnreadableFileError

LONGEST_LINE = 1 << 20
LONGEST_RAW = 1 << 10
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NO_GOOD_GZIP = "Have the shop write the file again; write files aside and rename them when whole."


class Line(NamedTuple):
    """One line without its end. A line over LONGEST_LINE bytes is `too_long`: its text is its beginning."""

    text: str
    too_long: bool


def read_lines(path: Path) -> Iterator[Line]:
    """Yield a UTF-8 file's lines (`.gz`: of what is in it); a byte order mark is passed over.

    Raises UnreadableFileError for an empty file, a broken archive, and at a byte that is not UTF-8.
    """
    packed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        stream: BinaryIO = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        try:
            yield from _decoded(stream)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableFileError(f"is not a whole gzip archive ({error})", _NO_GOOD_GZIP) from error


def _decoded(stream: BinaryIO) -> Iterator[Line]:
    offset = 0
    for number, (line, length) in enumerate(_bounded(stream), start=1):
        if number == 1:
            if line.startswith(_UTF_16):
                raise UnreadableFileError("is UTF-16, not UTF-8", "Have the shop write the file as UTF-8.")
            line = line.removeprefix(_BOM)
        if length > LONGEST_LINE:
            yield Line(line[:LONGEST_RAW].decode("utf-8", "replace"), too_long=True)
        else:
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UnreadableFileError(
                    f"is not UTF-8: byte {offset + error.start}, in line {number}, is 0x{line[error.start]:02x}",
                    "Have the shop write the file as UTF-8 (it may be GBK or Latin-1: `iconv -f gbk -t utf-8`).",
                ) from None
            yield Line(text.rstrip("\r\n"), too_long=False)
        offset += length
    if offset == 0:
        raise UnreadableFileError(
            "is empty (0 bytes)",
            "Have the shop write the file again. A day without rows is a CSV with its header alone, or no file.",
        )


def _bounded(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield each line's bytes, cut at LONGEST_LINE + 1, and its length in the file."""
    while line := stream.readline(LONGEST_LINE + 1):
        length = len(line)
        piece = line
        while len(piece) > LONGEST_LINE and not piece.endswith(b"\n"):
            piece = stream.readline(LONGEST_LINE + 1)
            length += len(piece)
        yield line, length

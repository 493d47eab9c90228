"""Plain text tables in a fixed width, where Chinese characters take two columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

Cell = str | int

_GAP = "  "


def display_width(text: str) -> int:
    """Return the columns that a text takes in a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def padded(text: str, width: int) -> str:
    """Return a text followed by blanks up to `width` columns."""
    return text + " " * (width - display_width(text))


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` columns: at blanks, and inside a word that is too long."""
    lines = [""]
    for word in text.split():
        fits = display_width(word) <= width
        blank = " " if lines[-1] else ""
        if fits and display_width(lines[-1] + blank + word) > width:
            lines.append(word)
            continue
        lines[-1] += blank
        # Chinese has no blanks: a word longer than a line goes on where the line stands.
        for char in word:
            if display_width(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return [line.rstrip() for line in lines]


def text_table(header: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> list[str]:
    """Lay rows out in aligned columns; the last column is broken into lines so that all fit in `width`.

    Returns:
        The lines: header, rule, rows.

    """
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(display_width(row[column]) for row in texts) for column in range(len(header) - 1)]
    used = sum(widths) + len(_GAP) * len(widths)
    last = max(width - used, 20)
    lines = []
    for number, row in enumerate(texts):
        head = _GAP.join(padded(text, size) for text, size in zip(row[:-1], widths, strict=True))
        for part, piece in enumerate(wrapped(row[-1], last)):
            lines.append(f"{head if part == 0 else ' ' * display_width(head)}{_GAP}{piece}".rstrip())
        if number == 0:
            lines.append("-" * min(width, used + last))
    return lines

"""Which rows are a forgotten user's: by the pseudonym of the id in them, and by when they happened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone

from spark_jobs.forgotten import MOMENT
from spark_jobs.pseudonyms import Pseudonyms

_MOMENT = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?(?:Z|UTC|([+-])(\d{2})(?::?(\d{2}))?)?)?"
)
_MILLISECONDS = re.compile(r"\d{13}")
_PIECES = (re.compile(r'"((?:[^"\\]|\\.)*)"'), re.compile(r"[^,]+"), re.compile(r"[^\s\"',:;{}\[\]\\]+"))
_HEX = re.compile(r"[0-9a-f]{32,}")
FORGOTTEN_TEXT = "(forgotten)"


class Rule:
    """Tells the rows of forgotten users, in feeds, from all others (as `spark_jobs/forgotten.py` does).

    `forgotten` is the moment of each one's request by pseudonym. Only what happened up to it is theirs: a person
    may come back. What tells no moment is theirs too, and what came in a file of an earlier day.
    """

    def __init__(self, forgotten: Mapping[str, datetime], key: bytes) -> None:
        self.forgotten = forgotten
        self._pseudonyms = Pseudonyms(key)

    def user_of(self, user_id: str) -> str | None:
        """Return the pseudonym of a forgotten user by the shop's id, None for anyone else."""
        pseudonym = self._pseudonyms.of(user_id.strip())
        return pseudonym if pseudonym in self.forgotten else None

    def owner(self, user_id: str, moment: str, day: date | None) -> str | None:
        """Return the pseudonym of the forgotten user that a row in a file of that day is of, None for others."""
        pseudonym = self.user_of(user_id)
        if pseudonym is None:
            return None
        at, until = moment_of(moment), self.forgotten[pseudonym]
        if at is None or at <= until:
            return pseudonym
        was_there = day is not None and (day < until.date() or at.date() > day + timedelta(days=1))
        return pseudonym if was_there else None

    def owner_of_text(self, text: str) -> str | None:
        """Return the forgotten user that a line which cannot be read names, by any piece of it."""
        for pattern in _PIECES:
            for piece in pattern.findall(text):
                if (pseudonym := self.user_of(piece.strip().strip("\"'"))) is not None:
                    return pseudonym
        return None


def moment_column(feed: str) -> str:
    """Return the column that says when a row happened; for feeds that name no user, none."""
    return MOMENT.get(feed, "")


def moment_of(text: str) -> datetime | None:
    """Read a moment as cleaning does: ISO 8601, or milliseconds since 1970; UTC without an offset. None: none."""
    text = text.strip()
    if _MILLISECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    found = _MOMENT.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    try:
        return datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]), timezone(offset),
        ).astimezone(UTC)  # fmt: skip
    except (ValueError, OverflowError):
        return None


def mentions(text: str, users: set[str] | frozenset[str]) -> Iterator[str]:
    """Yield the pseudonyms of `users` in a text, also those inside longer hex numbers."""
    for found in _HEX.finditer(text):
        run = found[0]
        for start in range(len(run) - 31):
            if (piece := run[start : start + 32]) in users:
                yield piece


def without_mentions(text: str, users: set[str] | frozenset[str]) -> str:
    """Return a text with each of these pseudonyms replaced by `(forgotten)`."""
    for pseudonym in set(mentions(text, users)):
        text = text.replace(pseudonym, FORGOTTEN_TEXT)
    return text

"""The day in a file's path: when what it holds was handed over."""

from __future__ import annotations

import re
from datetime import date

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)(-?)(\d\d)\2(\d\d)(?!\d)")


def day_in(path: str) -> date | None:
    """Return the last calendar day in a path, written 2026-10-31 or 20261031; None: undated."""
    for year, _, month, day in reversed(_DAY.findall(path)):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def arrived_by(path: str, as_of: str) -> bool:
    """Tell whether a landed file was there on a day. One without a day in its path counts as always known."""
    day = day_in(path)
    return day is None or day.isoformat() <= as_of

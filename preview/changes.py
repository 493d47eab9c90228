"""What is different between two days: of a portrait, of traits, of a page. Rows in, rows out; nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from preview.reading import Rows

#: What a day's passing changes by itself is not told.
_NOT_COMPARED = (
    *("user_id", "as_of_date", "run_id", "model_version", "generated_at", "portrait_text", "portrait_text_zh"),
    *("taste_name", "taste_name_zh", "taste_description", "taste_description_zh"),
)
#: A number that moved by less than this share of itself stayed as it was.
_NOTICED = 0.02
#: A trait's strength or confidence (0 to 1) that moved by less stayed as it was.
_NOTICED_TRAIT = 0.05


@dataclass(frozen=True)
class Change:
    """One thing before and after; None where it was not there."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class TraitChange:
    """One trait before and after; `kind` is new, gone, value, stronger or weaker."""

    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def portrait_changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return the columns of a portrait that differ, numbers only where the difference can be noticed."""
    return [
        Change(name, before.get(name), value)
        for name, value in after.items()
        if name not in _NOT_COMPARED and _differs(before.get(name), value)
    ]


def trait_changes(before: Rows, after: Rows) -> list[TraitChange]:
    """Return the traits that came, went, or changed their value, strength or confidence."""
    old, new = _by_trait(before), _by_trait(after)
    changes = []
    for key in sorted(old | new):
        was, now = old.get(key), new.get(key)
        kind = "gone" if now is None else "new" if was is None else _trait_change(was, now)
        if kind:
            changes.append(TraitChange(kind, was, now))
    return changes


def places(before: Rows, after: Rows) -> dict[str, int | None]:
    """Return the place before of each content on the page after: None for what was not there."""
    was = {content_key(row): place for place, row in enumerate(before, start=1)}
    return {content_key(row): was.get(content_key(row)) for row in after}


def gone(before: Rows, after: Rows) -> Rows:
    """Return what stood on the page before and does not any more."""
    still = {content_key(row) for row in after}
    return [row for row in before if content_key(row) not in still]


def content_key(row: dict[str, Any]) -> str:
    """Return what one content is the same by on two days: its type and id."""
    return f"{row['content_type']}/{row['content_id']}"


def _differs(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return abs(after - before) > _NOTICED * max(abs(before), abs(after))
    return bool(before != after)


def _by_trait(rows: Rows) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["trait"], row["subject"]): row for row in rows}


def _trait_change(was: dict[str, Any], now: dict[str, Any]) -> str | None:
    for name in ("strength", "confidence"):
        step = (now[name] or 0.0) - (was[name] or 0.0)
        if abs(step) >= _NOTICED_TRAIT:
            return "stronger" if step > 0 else "weaker"
    # Words, not numbers: `12 days` becoming `13 days` is the day's passing.
    return "value" if _words(was["value"]) != _words(now["value"]) else None


def _words(value: str) -> str:
    return "".join(char for char in value if not char.isdigit() and char not in ".,-")

"""Words, numbers and money in the language of the page. A value without words is spelled out, not hidden."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from preview.words import CODES, SAID, Pair

LANGUAGES = {"zh": "中文", "en": "English"}

#: Columns of portraits and traits whose values have words, and where these stand.
_VALUES = {
    "lifecycle_stage": "lifecycle_stage",
    "segment": "segment",
    "price_band": "price_band",
    "price_level": "price_band",
    "active_weekday": "weekday",
    "platform": "platform",
    "language": "language",
    "review_sentiment": "sentiment",
    "cold_start": "yes_no",
}

_SYMBOLS = {"CNY": "¥", "GBP": "£", "USD": "$", "EUR": "€"}


@dataclass(frozen=True)
class Texts:
    """Words and numbers in one language, money in one currency."""

    language: str
    currency: str

    def __call__(self, key: str, **values: Any) -> str:
        """Return what a page says."""
        return self.of(SAID[key]).format(**values)

    def of(self, pair: Pair) -> str:
        """Return the text of this language out of both."""
        return pair[self.language == "zh"]

    def code(self, column: str, value: Any) -> str:
        """Return the words for a value of a column; one without words is spelled out."""
        if value is None:
            return self("unknown")
        words = CODES.get(column, {}).get(str(value))
        return self.of(words) if words else str(value).replace("_", " ")

    def column(self, row: dict[str, Any], name: str) -> str:
        """Return a text that stands in two columns, `name` and `name_zh`; in English where it has no other."""
        chinese = row.get(f"{name}_zh") if self.language == "zh" else None
        return str(chinese or row[name] or "")

    def value(self, column: str, value: Any) -> str:
        """Return any value of a portrait or a trait as it is read."""
        if value is None:
            return self("unknown")
        if isinstance(value, bool):
            return self("yes" if value else "no")
        if column.startswith(("amount_spent", "average_order_value")):
            return self.money(value)
        if isinstance(value, float):
            return self.number(value)
        return self.code(_VALUES.get(column, ""), value) if isinstance(value, str) else str(value)

    def money(self, value: float | None) -> str:
        """Return money with its currency; cents only below a thousand."""
        if value is None:
            return "–"
        symbol = _SYMBOLS.get(self.currency, f"{self.currency} ")
        digits = f"{abs(value):,.0f}" if abs(value) >= 1000 else f"{abs(value):,.2f}"
        return f"{'−' if value < 0 else ''}{symbol}{digits}"

    def number(self, value: float | None) -> str:
        """Return a number with as many digits as mean something."""
        if value is None:
            return "–"
        if isinstance(value, int) or abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"

    def percent(self, value: float | None) -> str:
        """Return a share in percent, small ones with more digits."""
        if value is None:
            return "–"
        return (
            f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}" if value >= 0.01 else f"{value:.2%}"
        )

    def moment(self, value: date | datetime | None) -> str:
        """Return a moment to the minute, a day as it is."""
        if value is None:
            return "–"
        return value.strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else value.isoformat()

    def places(self, before: int | None, after: int | None) -> str:
        """Say in words where a rule moved an item."""
        if after is None:
            return self("rank_out_unranked") if before is None else self("rank_out", a=before)
        if before is None:
            return self("rank_in", b=after)
        return self("rank_same", b=after) if before == after else self("rank_moved", a=before, b=after)

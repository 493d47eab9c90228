"""Write the tables as Markdown: `python -m expectations.describe` renews feeds.md and tables.md."""

from __future__ import annotations

from pathlib import Path

from expectations.tables import (
    DATA_FRESHNESS,
    FEEDS,
    PIPELINE_RUNS,
    PUBLISHED,
    REFUSED_CHECKS,
    REQUIRED_FEEDS,
    STATE_FEEDS,
    Table,
)

DOCS = Path(__file__).resolve().parent.parent / "docs"

_FEEDS_HEAD = """# Feeds: what a shop hands over

One folder a feed, one file or more a day, in CSV (with a header), JSON Lines or Parquet; text files may be
gzipped. The day stands in the path as `2026-10-31` or `20261031`: it tells when the file arrived, and a run for a
day reads no file that arrived later; a path without a day counts as always known, and names that begin with `_` or
`.` are passed over. Text is UTF-8; ids are strings; timestamps are ISO 8601 (UTC where no offset
is given); more columns than these are ignored.

This page is written from `expectations/tables/` by `python -m expectations.describe`.
"""

_TABLES_HEAD = """# Tables: what the warehouse gets

Keys are unique and never null. Money is in the shop's currency (`currency` in `qianmian.toml`).
How to read them: [reading_the_tables.md](reading_the_tables.md). A row reads nothing later than its `as_of_date`,
with one exception: `model_metrics` looks at the 7 days after, where they are there (see its column `protocol`).
`user_portraits_history`, `model_metrics_history` and `data_quality_results_history` keep the same rows for every
day published; their keys hold `as_of_date` too.

This page is written from `expectations/tables/` by `python -m expectations.describe`.
"""


def _markdown(table: Table, note: str, required_word: str) -> str:
    lines = [
        f"\n## {table.name}\n",
        f"{table.description} {note}".strip() + "\n",
        f"Key: {', '.join(f'`{column}`' for column in table.key)}.\n",
        f"| column | type | {required_word} | meaning |",
        "|---|---|---|---|",
    ]
    for column in table.columns:
        text = column.description.replace("|", "\\|")
        lines.append(f"| `{column.name}` | {column.type} | {'yes' if column.required else ''} | {text} |")
    return "\n".join(lines) + "\n"


def feeds_page() -> str:
    """Return docs/feeds.md."""
    pages = [_FEEDS_HEAD]
    for table in FEEDS.values():
        note = "**Required.**" if table.name in REQUIRED_FEEDS else "Optional."
        if table.name in STATE_FEEDS:
            note += " May come as changes only: a later row with the same key replaces the earlier."
        pages.append(_markdown(table, note, "required"))
    return "".join(pages)


def tables_page() -> str:
    """Return docs/tables.md."""
    tables = (*PUBLISHED.values(), PIPELINE_RUNS, REFUSED_CHECKS, DATA_FRESHNESS)
    return _TABLES_HEAD + "".join(_markdown(table, "", "never null") for table in tables)


def main() -> None:
    """Renew both pages."""
    (DOCS / "feeds.md").write_text(feeds_page())
    (DOCS / "tables.md").write_text(tables_page())


if __name__ == "__main__":
    main()

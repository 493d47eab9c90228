"""The page of example queries, written from `bi/queries/`: `python -m bi.example_queries` renews it.

A file begins with comments: the question in English and Chinese, notes, `Empty:` when it may return nothing, and
`Returns:` with its columns. The SQL is what DuckDB and PostgreSQL both understand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

QUERIES = Path(__file__).with_name("queries")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "example_queries.md"

_HEAD = """# Questions, and the queries that answer them

To start from, in Superset's SQL Lab (`make bi`), DuckDB or PostgreSQL: each runs in both as it is, and in the
tests. One connection a question in DuckDB; in PostgreSQL first `set search_path = qianmian` (your
`postgres_schema`). What the columns mean: [tables.md](tables.md); how to read the tables:
[reading_the_tables.md](reading_the_tables.md).

Money is in the shop's currency, days and times are UTC (`active_hour` in the shop's time zone), `user_id` is a
pseudonym (README, "What you get").

This page is written from `bi/queries/` by `python -m bi.example_queries`.
"""


@dataclass(frozen=True)
class ExampleQuery:
    """One question: its title in two languages, notes, the columns it returns, when it is empty, and the SQL."""

    name: str
    title: str
    notes: tuple[str, ...]
    returns: tuple[str, ...]
    empty: str
    sql: str


def load(file: Path) -> ExampleQuery:
    """Read one file."""
    lines = file.read_text().splitlines()
    head = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    said = {
        word: [line.removeprefix(word) for line in head if line.startswith(word)]
        for word in ("Returns: ", "Empty: ")
    }
    return ExampleQuery(
        name=file.stem,
        title=head[0],
        notes=tuple(line for line in head[1:] if not line.startswith(tuple(said))),
        returns=tuple("".join(said["Returns: "]).split(", ")),
        empty="".join(said["Empty: "]),
        sql="\n".join(line for line in lines if not line.startswith("-- ")).strip(),
    )


def example_queries() -> list[ExampleQuery]:
    """Return all of them, in the order of the page."""
    return [load(file) for file in sorted(QUERIES.glob("*.sql"))]


def page() -> str:
    """Return docs/example_queries.md."""
    queries = example_queries()
    parts = [_HEAD, "\n".join(f"{n}. [{query.title}](#{n})" for n, query in enumerate(queries, start=1))]
    for n, query in enumerate(queries, start=1):
        text = " ".join([*query.notes, *([f"Empty where {query.empty}"] if query.empty else [])])
        parts.append(f'<a id="{n}"></a>\n## {query.title}\n{text}\n\n```sql\n{query.sql}\n```')
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main() -> None:
    """Renew the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()

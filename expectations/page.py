"""The page of a run's checks: one file, no network, what to do first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from expectations.results import Result

_STAGES = {"clean": "Cleaned feeds 清洗后的数据", "tables": "Tables before publishing 发布前的表"}
_ORDER = ("failed", "warning", "passed")


@dataclass(frozen=True)
class TableOfChecks:
    """One table's results, the worst first."""

    name: str
    results: tuple[Result, ...]

    @property
    def counts(self) -> Counter[str]:
        """Checks by status."""
        return Counter(result.status for result in self.results)

    @property
    def rows(self) -> int:
        """Rows of the table that were looked at."""
        return max((result.rows_checked for result in self.results), default=0)


def page_html(results: list[Result], stage: str, as_of: str, run_id: str) -> str:
    """Return the page of one stage: a summary, what failed or warned with what to do, then every table."""
    ordered = sorted(results, key=lambda result: _ORDER.index(result.status))
    names = dict.fromkeys(result.table_name for result in results)
    tables = [TableOfChecks(name, tuple(r for r in ordered if r.table_name == name)) for name in names]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("checks_page.html.j2").render(
        title=_STAGES[stage],
        as_of=as_of,
        run_id=run_id,
        counts=Counter(result.status for result in results),
        attention=[result for result in ordered if result.status != "passed"],
        tables=tables,
        order=_ORDER,
    )

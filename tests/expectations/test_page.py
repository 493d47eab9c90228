"""The page of a run's checks reads well with no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from expectations.page import page_html
from expectations.results import Result


def result(name: str, status: str, table: str = "events", **more: object) -> Result:
    values = {
        "observed": "3 of 9 rows <b>",
        "threshold": "at least 0",
        "rows_checked": 9,
        "remedy": "ask the shop",
    }
    severity = "error" if status == "failed" else "warning"
    return Result("clean", table, name, None, status, severity, **{**values, **more})  # type: ignore[arg-type]


PAGE = page_html(
    [result("fine", "passed"), result("odd", "warning", "items"), result("bad", "failed", remedy="tell <them>")],
    "clean",
    "2026-10-31",
    "run <1>",
)


class Outside(HTMLParser):
    """Collects what a page would fetch, and proves that its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_whole_and_fetches_nothing() -> None:
    page = Outside()
    page.feed(PAGE)
    assert page.open == []
    assert page.fetched == []
    assert not re.search(r"url\(|@import|https?:", PAGE)


def test_failures_stand_first_with_what_to_do() -> None:
    body = PAGE[PAGE.index("<body>") :]
    assert body.index("bad") < body.index("odd") < body.index("fine")
    assert "tell &lt;them&gt;" in body
    assert "run &lt;1&gt;" in body
    assert "3 of 9 rows &lt;b&gt;" in body
    assert "1 failed, 1 warned · 2026-10-31" in PAGE


def test_a_bar_per_table_shows_passed_warned_failed() -> None:
    bars = re.findall(r'aria-label="([^"]+)"', PAGE)
    assert bars == [
        "1 failed, 1 warning, 1 passed",
        "1 failed, 0 warning, 1 passed",
        "0 failed, 1 warning, 0 passed",
    ]


def test_all_passed_says_so() -> None:
    page = page_html([result("fine", "passed")], "tables", "2026-10-31", "r1")
    assert "needs attention" not in page
    assert "The run goes on." in page

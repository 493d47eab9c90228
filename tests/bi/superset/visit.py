"""One person at the dashboard, in Chromium: logs in, opens every tab, and notes what charts are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from playwright.sync_api import Browser, Page, Request, Response, expect

from tests.bi.superset.conftest import Served

PATIENCE_MS = 180_000
WIDTH = 1600
DRAWING = ".loading, [data-test=loading-indicator]"
HOLDER = ".dashboard-component-chart-holder"


@dataclass
class Visit:
    """What a visit saw: each chart's rows by its title, each tab's charts in error, the hosts asked for."""

    page: Page
    url: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)
    in_error: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    _names: dict[int, str] = field(default_factory=dict)

    def log_in(self, password: str) -> None:
        _reach(self.page, f"{self.url}/login/")
        self.page.fill("input#username", "admin")
        self.page.fill("input#password", password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)
        charts = self.page.request.get(f"{self.url}/api/v1/chart/?q=(page_size:100)").json()["result"]
        self._names = {chart["id"]: chart["slice_name"] for chart in charts}

    def open_every_tab(self, pictures: Path) -> None:
        self.page.goto(f"{self.url}/superset/dashboard/qianmian/")
        tabs = self.page.locator(".dashboard-component-tabs [role=tab]")
        tabs.first.wait_for()
        for number in range(tabs.count()):
            tabs.nth(number).click()
            self._wait_until_drawn()
            self._note_tab(tabs.nth(number).inner_text())
            self.page.screenshot(path=pictures / f"superset_{number + 1}.png")
            self.page.set_viewport_size({"width": WIDTH, "height": 1100})

    def _wait_until_drawn(self) -> None:
        self.page.wait_for_timeout(1500)  # Superset waits a moment itself before it asks for a tab's charts
        self.page.wait_for_load_state("networkidle")
        grids = "[...document.querySelectorAll('.grid-container')]"
        bottom = f"Math.max(...{grids}.map(grid => grid.getBoundingClientRect().bottom))"
        self.page.set_viewport_size({"width": WIDTH, "height": min(int(self.page.evaluate(bottom)) + 40, 3000)})
        expect(self.page.locator(DRAWING)).to_have_count(0, timeout=PATIENCE_MS)
        self.page.wait_for_timeout(1000)  # charts move into place

    def _note_tab(self, name: str) -> None:
        holders = self.page.locator(f"{HOLDER}:visible")
        self.drawn[name] = holders.count()
        for holder in holders.all():
            if holder.locator(".ant-alert-error, [data-test=error-boundary]").count():
                self.in_error.append(holder.inner_text())

    def note_request(self, request: Request) -> None:
        # What the content security policy stops never leaves the browser; a host out of reach was asked.
        if "csp" not in (request.failure or ""):
            self.hosts.add(urlparse(request.url).hostname or "")

    def note_response(self, response: Response) -> None:
        if "/api/v1/chart/data" not in response.url:
            return
        chart = json.loads(response.request.post_data or "{}")["form_data"].get("slice_id")
        if chart is None:  # a filter's list of values
            return
        name = self._names[chart]
        if response.ok:
            self.rows[name] = response.json()["result"][0]["data"]
        else:
            self.refused.append(f"{name}: {response.status} {response.text()}")


def _reach(page: Page, url: str) -> None:
    """Open a page of a server that may still be starting."""
    for _ in range(120):
        try:
            page.goto(url)
            return
        except Exception as error:
            if "ERR_CONNECTION_REFUSED" not in str(error):
                raise
            page.wait_for_timeout(500)
    raise AssertionError(f"nothing answers at {url}")


@contextmanager
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    """Come as a new person, log in."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 1100})
    page.set_default_timeout(PATIENCE_MS)
    seen = Visit(page, served.url)
    page.on("requestfinished", seen.note_request)
    page.on("requestfailed", seen.note_request)
    page.on("response", seen.note_response)
    seen.log_in(served.password)
    yield seen
    page.close()

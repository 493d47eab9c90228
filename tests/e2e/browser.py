"""A person's browser: Chromium without a window, logged in to Airflow."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect, sync_playwright

from qianmian.local_airflow import DAG_ID
from tests.chromium import FLAGS

if TYPE_CHECKING:
    from conftest import AirflowForTests

CHROMIUM = shutil.which("chromium")


@contextmanager
def logged_in(airflow: AirflowForTests) -> Iterator[Page]:
    """Open a page and log in by the form."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.goto(airflow.url)
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", airflow.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Dags")).to_be_visible(timeout=30_000)
        yield page
        browser.close()


def trigger_by_form(page: Page, airflow: AirflowForTests, artifacts: Path, shop: str, as_of: str) -> str:
    """Fill in the form on the daily DAG's page and trigger a run; return its id."""
    page.goto(f"{airflow.url}/dags/{DAG_ID}")
    page.get_by_test_id("trigger-dag-button").click()
    form = page.get_by_role("dialog")
    for name in ("Shop", "As-of date", "Full refresh", "Source"):
        expect(form.get_by_text(re.compile(rf"^{name}\W*$"))).to_be_visible()
    form.locator("#element_shop").fill(shop)
    form.locator("#element_as_of").fill(as_of)
    page.screenshot(path=artifacts / "trigger_form.png")
    before = set(airflow.api.active_runs(DAG_ID))
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(form).to_be_hidden(timeout=30_000)
    [run_id] = set(airflow.api.active_runs(DAG_ID)) - before
    return run_id

"""A person in the browser: log in, read the DAG's page, fill in the form, trigger, see the run succeed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from qianmian.local_airflow import DAG_ID

if TYPE_CHECKING:
    from conftest import AirflowForTests

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
RUN_SECONDS = 900


@pytest.fixture
def page(airflow: AirflowForTests) -> Iterator[Page]:
    """A browser's page, logged in."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`, then run the tests again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.goto(airflow.url)
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", airflow.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Dags")).to_be_visible(timeout=30_000)
        yield page
        browser.close()


def test_a_wrong_password_is_refused(page: Page, airflow: AirflowForTests) -> None:
    stranger = page.context.browser
    assert stranger is not None
    tab = stranger.new_context().new_page()
    tab.goto(airflow.url)
    tab.fill("input[name=username]", "admin")
    tab.fill("input[name=password]", "guess")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_text(re.compile("invalid", re.IGNORECASE))).to_be_visible()
    assert "/auth/login" in tab.url


def test_the_pages_tell_the_person_on_call_what_to_do(
    page: Page, airflow: AirflowForTests, artifacts: Path
) -> None:
    page.goto(f"{airflow.url}/dags/{DAG_ID}")
    page.get_by_test_id("markdown-button").click()
    expect(page.get_by_text("Are readers affected?")).to_be_visible()
    page.screenshot(path=artifacts / "dag_docs.png")
    page.goto(f"{airflow.url}/dags/{DAG_ID}/tasks/check_clean")
    page.get_by_test_id("markdown-button").click()
    expect(page.get_by_text("May be ignored")).to_be_visible()
    page.screenshot(path=artifacts / "task_docs.png")


def test_a_run_is_triggered_from_the_form_and_seen_to_succeed(
    page: Page, airflow: AirflowForTests, artifacts: Path
) -> None:
    page.goto(f"{airflow.url}/dags/{DAG_ID}")
    page.get_by_test_id("trigger-dag-button").click()
    form = page.get_by_role("dialog")
    for name in ("Shop", "As-of date", "Full refresh", "Source"):
        expect(form.get_by_text(re.compile(rf"^{name}\W*$"))).to_be_visible()
    form.locator("#element_shop").fill("simulated")
    form.locator("#element_as_of").fill("2026-10-31")
    page.screenshot(path=artifacts / "trigger_form.png")
    before = set(airflow.api.active_runs(DAG_ID))
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(form).to_be_hidden(timeout=30_000)
    [run_id] = set(airflow.api.active_runs(DAG_ID)) - before
    page.goto(f"{airflow.url}/dags/{DAG_ID}/runs/{run_id}")
    badge = page.get_by_test_id("state-badge").first
    expect(badge).to_have_text(re.compile("Success|Failed"), timeout=RUN_SECONDS * 1000)
    page.screenshot(path=artifacts / "run_ended.png")
    assert airflow.wait(run_id, 10) == "success", airflow.failure(run_id)
    page.get_by_label(re.compile("Show Graph")).click()
    expect(page.get_by_text("build_features").last).to_be_visible()
    page.wait_for_timeout(1500)  # the graph slides into place
    page.screenshot(path=artifacts / "run_graph.png")
    assert airflow.settings("simulated").warehouse.is_file()

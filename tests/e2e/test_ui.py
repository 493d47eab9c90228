"""A person in the browser: log in, read the DAG's page, fill in the form, trigger, see the run succeed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from qianmian.local_airflow import DAG_ID
from tests.e2e.browser import CHROMIUM, logged_in

if TYPE_CHECKING:
    from conftest import AirflowForTests


@pytest.fixture
def page(airflow: AirflowForTests) -> Iterator[Page]:
    """A browser's page, logged in."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`, then run the tests again")
    with logged_in(airflow) as page:
        yield page


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


def test_a_run_triggered_from_the_form_is_seen_to_succeed(
    page: Page, airflow: AirflowForTests, published_run: str, artifacts: Path
) -> None:
    """Of the run that all tests share, which was triggered from the form: see `published_run`."""
    page.goto(f"{airflow.url}/dags/{DAG_ID}/runs/{published_run}")
    expect(page.get_by_test_id("state-badge").first).to_have_text("Success", timeout=30_000)
    page.screenshot(path=artifacts / "run_ended.png")
    assert airflow.api.run(DAG_ID, published_run)["conf"]["as_of"] == "2026-10-31"
    page.get_by_label(re.compile("Show Graph")).click()
    expect(page.get_by_text("build_features").last).to_be_visible()
    page.wait_for_timeout(1500)  # the graph slides into place
    page.screenshot(path=artifacts / "run_graph.png")
    assert airflow.settings("simulated").warehouse.is_file()

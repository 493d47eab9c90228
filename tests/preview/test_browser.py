"""A person in the browser: the page as `make preview` serves it, in Chromium, without any other host."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from preview import __main__ as start
from qianmian.ports import LOOPBACK, choose_port
from tests.chromium import FLAGS
from tests.preview.small_shop import KEY, NEW, RICH, publish_day

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 30_000
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`, then run the tests again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Path], str]]:
    """Start the preview of a home as a person does; return the address that it prints."""
    started: list[subprocess.Popen[str]] = []

    def begin(home: Path) -> str:
        environ = {**os.environ, "QIANMIAN_HOME": str(home), "QIANMIAN_PSEUDONYM_KEY": KEY}
        process = subprocess.Popen(
            [sys.executable, "-m", "preview", "--shop", "simulated"],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        printed = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", printed)
        assert found, printed
        return found[0]

    yield begin
    for process in started:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def address(published: Path, serve: Callable[[Path], str]) -> str:
    return serve(published)


@pytest.fixture
def hosts() -> set[str]:
    """The hosts that the page has spoken to."""
    return set()


@pytest.fixture
def page(browser: Browser, hosts: set[str]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1500, "height": 1300})
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)

    def note_host(request: Request) -> None:
        hosts.add(urlparse(request.url).hostname or "")

    page.on("request", note_host)
    yield page
    page.close()
    assert hosts <= {LOOPBACK, ""}


@pytest.fixture(scope="module")
def artifacts() -> Path:
    folder = ROOT / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


def look(page: Page, address: str, **asked: str) -> None:
    """Open a view; the server may still be starting."""
    url = f"{address}/?{'&'.join(f'{name}={value}' for name, value in asked.items())}"
    for _ in range(60):
        try:
            page.goto(url)
            return
        except Exception as error:
            if "ERR_CONNECTION_REFUSED" not in str(error):
                raise
            page.wait_for_timeout(500)
    raise AssertionError(f"nothing answers at {address}")


def shoot(page: Page, file: Path) -> None:
    """Take a picture of the whole view, however long."""
    height = page.evaluate("document.querySelector('.stMainBlockContainer').scrollHeight")
    page.set_viewport_size({"width": 1500, "height": min(int(height) + 40, 4000)})
    page.wait_for_timeout(400)
    page.screenshot(path=file)
    page.set_viewport_size({"width": 1500, "height": 1300})


def test_a_user_in_english(page: Page, address: str, artifacts: Path) -> None:
    look(page, address, lang="en")
    expect(page.locator(".qm-top code")).to_have_text(RICH)
    expect(page.locator(".qm-lead")).to_contain_text("A loyal customer who mostly buys Sports & Outdoors")
    expect(page.get_by_text("Outdoor and active").first).to_be_visible()
    expect(page.locator(".qm-module h4")).to_have_count(6)
    expect(page.locator(".qm-card")).to_have_count(22)
    card = page.locator(".qm-card").nth(1)
    why = card.locator(".qm-why")
    expect(why).to_be_hidden()
    card.hover()
    expect(why).to_be_visible()
    expect(why).to_contain_text("You bought this before")
    expect(why).to_contain_text("Contribution")
    expect(why).to_contain_text("Parts of the score")
    expect(page.locator(".qm-card .qm-badge", has_text="exploration")).to_have_count(1)
    expect(page.locator(".qm-card .qm-badge", has_text="moved up")).to_have_count(1)
    page.wait_for_timeout(300)
    page.screenshot(path=artifacts / "preview_user_en.png")


def test_a_user_in_chinese(page: Page, address: str, artifacts: Path) -> None:
    look(page, address, lang="zh", user=RICH)
    expect(page.locator(".qm-lead")).to_contain_text("户外运动人群")
    page.locator(".qm-card").nth(3).hover()
    expect(page.locator(".qm-card .qm-why").nth(3)).to_contain_text("因为你买过")
    shoot(page, artifacts / "preview_user_zh.png")
    labels = page.locator(".qm-table th, .qm-facts dt, .qm-heading, .qm-why dt, .qm-badge, [role=tab]")
    assert labels.count() > 100
    assert [
        said for said in labels.all_text_contents() if said and not HAN.search(said) and not said[0].isdigit()
    ] == ["#"]
    page.get_by_text("English", exact=True).click()
    expect(page.locator(".qm-lead")).to_contain_text("A loyal customer")
    assert "lang=en" in page.url
    assert RICH in page.url


def test_traits_what_rules_did_and_what_changed(page: Page, address: str, artifacts: Path) -> None:
    look(page, address, lang="en", user=RICH)
    page.get_by_role("tab", name="Traits and evidence").click()
    expect(page.locator("tr", has_text="Bargain seeking")).to_contain_text("4 of 14 below the usual price")
    page.get_by_role("tab", name="What rules did").click()
    expect(page.get_by_text("from place 4 to place 13")).to_be_visible()
    expect(page.get_by_text("too many of one brand")).to_be_visible()
    page.get_by_role("tab", name="Yesterday beside today").click()
    expect(page.get_by_text("The day published before: 2026-10-30")).to_be_visible()
    row = page.locator("tr", has_text="Lifecycle stage").filter(has_text="active")
    expect(row).to_contain_text("loyal")
    expect(page.locator(".qm-beside .qm-mark-new").first).to_be_visible()
    shoot(page, artifacts / "preview_changes_en.png")


def test_search(page: Page, address: str) -> None:
    look(page, address, lang="en", user=RICH)
    search = page.get_by_role("textbox", name="Find a user")
    search.fill(NEW[:9])
    search.press("Enter")
    expect(page.locator(".qm-top code")).to_have_text(NEW)
    expect(page.get_by_text("No home page was laid out for this user")).to_be_visible()
    expect(page.locator(".qm-card")).to_have_count(20)
    search.fill("u7")  # the shop's own id
    search.press("Enter")
    expect(page.locator(".qm-top code")).to_have_text(RICH)
    assert "u7" not in page.url.replace(RICH, "")
    search.fill("zzz")
    search.press("Enter")
    expect(page.get_by_text("No user on this day starts like this.")).to_be_visible()
    page.get_by_role("button", name="Good customer, at risk").click()
    expect(page.locator(".qm-chip").first).to_contain_text("at risk")


def test_a_past_day(page: Page, address: str) -> None:
    look(page, address, lang="en", user=RICH, day="2026-10-29")
    expect(page.locator(".qm-chip").first).to_contain_text("active")
    page.get_by_role("tab", name="Yesterday beside today").click()
    expect(page.get_by_text("No day before 2026-10-29 has been published")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_whole_shop(page: Page, address: str, artifacts: Path, language: str) -> None:
    look(page, address, lang=language, view="shop")
    expect(page.locator(".qm-tiles b").first).to_have_text("24")
    names = ("Outdoor and active", "long-tail") if language == "en" else ("户外运动", "长尾")
    expect(page.locator(".qm-segments")).to_contain_text(names[0])
    expect(page.locator(".stVegaLiteChart")).to_have_count(6)
    expect(page.locator(".stVegaLiteChart canvas, .stVegaLiteChart svg.marks").last).to_be_visible()
    expect(page.get_by_text("No list is short")).to_be_visible()
    shoot(page, artifacts / f"preview_shop_{language}.png")


def test_no_warehouse_then_one_then_the_next_day(page: Page, serve: Callable[[Path], str], tmp_path: Path) -> None:
    """The page says what is missing and what to do, and sees each publishing while it stays open."""
    address = serve(tmp_path)
    look(page, address, lang="en")
    expect(page.get_by_text("There is no warehouse at")).to_be_visible()
    expect(page.get_by_text("make run SHOP=simulated")).to_be_visible()
    publish_day(tmp_path / "simulated", "2026-10-30", "r1", users=8)
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("Run r1, published")).to_be_visible()
    publish_day(tmp_path / "simulated", "2026-10-31", "r2", number=1, users=8)
    expect(page.get_by_text("A run has just published new tables")).to_be_visible()
    expect(page.get_by_text("Run r1, published")).to_be_visible()
    page.get_by_role("button", name="Show the new tables").click()
    expect(page.get_by_text("Run r2, published")).to_be_visible()
    expect(page.get_by_text("A run has just published new tables")).to_have_count(0)


def test_the_server_is_reached_from_this_machine_only_and_sends_nothing() -> None:
    served = start.command("mine", 8501)
    assert f"--server.address={LOOPBACK}" in served
    assert "--browser.gatherUsageStats=false" in served
    assert served[-2:] == ["--shop", "mine"]


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    port = choose_port()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port))
        taken.listen()
        monkeypatch.setenv("QIANMIAN_PREVIEW_PORT", str(port))
        assert start.main([]) == 2
    said = capsys.readouterr().err
    assert f"Port {port}, which preview_port asks for, is in use" in said
    assert "WHAT TO DO" in said

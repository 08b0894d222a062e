"""Chromium, the built page, and a server for it."""

import json
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.browser.site_server import SiteServer, Snapshot

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "src/evmesh/app/static"
SNAPSHOTS = ROOT / "web/dev/snapshots"

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

PATIENCE_MS = 20_000
"""How long a test waits for what must come: long, since a busy machine is no fault of the page."""


def recorded(name: str) -> Snapshot:
    """Give a snapshot of web/dev: `busy`, `later` (an hour after it) or `empty`."""
    snapshot: Snapshot = json.loads((SNAPSHOTS / f"{name}.json").read_text())
    return snapshot


@pytest.fixture(
    scope="module"
)  # playwright holds the thread's event loop: no test of asyncio may run meanwhile
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: scripts/debian-packages.sh installs it")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh visitor: English, light, a desktop screen."""
    with browser.new_context(
        locale="en-GB", viewport={"width": 1440, "height": 900}, timezone_id="America/New_York"
    ) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Generator[Page]:
    """A page whose console must stay free of errors to the end of the test.

    That a connection failed is Chromium's own line about a server that a test took away; the page
    says it to people.
    """
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    assert [line for line in wrong if not line.startswith("Failed to load resource: ")] == []


@pytest.fixture
def site() -> Iterator[SiteServer]:
    """A busy site, being served."""
    if not (STATIC / "index.html").is_file():
        pytest.fail("the page is not built: run `make web`")
    server = SiteServer(STATIC)
    server.publish(recorded("busy"))
    server.start()
    yield server
    server.stop()

"""The page of a real platform, in a real browser, while cars charge."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from evmesh.app.run_file import RunFile
from evmesh.domain.errors import Unavailable
from tests.e2e.browser.conftest import browser, context, page
from tests.e2e.browser.page_checks import ARTEFACTS, DESKTOP, PHONE, check_live_page

__all__ = ["browser", "context", "page"]  # fixtures of the browser tests, used here too

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def live_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("live")
    command = [sys.executable, "-m", "evmesh.app.main", "up", "--port", "0", "--ocpp-port", "0"]
    with subprocess.Popen(
        [*command, "--data", str(data), "--speed", "240"], stdout=subprocess.PIPE, text=True
    ) as up:
        try:
            assert up.stdout is not None
            for line in up.stdout:
                if "evmesh is running" in line:
                    break
            yield RunFile.load(data).http_url
        finally:
            up.terminate()
            up.wait(60)
    with pytest.raises(Unavailable):
        RunFile.load(data)


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_the_page_of_a_running_platform_is_live(
    live_site: str, page: Page, name: str, size: dict[str, int]
) -> None:
    page.set_viewport_size(size)  # type: ignore[arg-type]
    check_live_page(page, live_site)
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=Path(ARTEFACTS) / f"live-{name}.png", full_page=True)

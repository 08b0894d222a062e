"""What holds for the page wherever it is served, by a test's server or by a running evmesh."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize, expect

ROOT = Path(__file__).parents[3]
ARTEFACTS = ROOT / "artefacts"
AXE = ROOT / "node_modules/axe-core/axe.min.js"

PHONE: ViewportSize = {"width": 360, "height": 740}
TABLET: ViewportSize = {"width": 768, "height": 1024}
DESKTOP: ViewportSize = {"width": 1440, "height": 900}


def check_live_page(page: Page, base_url: str) -> None:
    """Open the page of a running platform and check that it is live and whole.

    Waits until a session is under way, and until site time has moved while the page looked.
    """
    open_live(page, base_url)
    expect(page.get_by_role("heading", level=1)).not_to_be_empty()
    expect(page.get_by_role("region", name="At a glance")).to_be_visible()
    expect(page.get_by_role("heading", name="Charge points").first).to_be_visible()
    expect(page.get_by_role("meter", name="Power of the group").first).to_be_visible()
    expect(page.get_by_role("meter", name="Power of ").first).to_be_visible()

    running = page.get_by_role("region", name="Charging sessions")
    expect(running.get_by_role("article").first).to_be_visible(timeout=60_000)
    expect(running.get_by_role("progressbar").first).to_be_visible()
    expect(page.get_by_role("img", name="Planned load and supply").first).to_be_visible()
    for part in ("Finished sessions", "Refused requests", "Balances", "Anchors on chain"):
        expect(page.get_by_role("region", name=part)).to_be_visible()

    clock = page.get_by_role("banner").locator("time")
    seen = clock.get_attribute("datetime") or ""
    expect(clock).not_to_have_attribute("datetime", seen, timeout=20_000)

    violations = axe_violations(page)
    assert violations == [], violations
    assert sideways_scroll(page) == 0


def open_live(page: Page, base_url: str) -> None:
    """Open the page and wait until it says that it is live."""
    page.goto(base_url)
    expect(page.get_by_role("banner").get_by_role("status")).to_have_text("Live")


def axe_violations(page: Page) -> list[str]:
    """Run axe-core over the page as it is; one line for each element that breaks a rule."""
    page.evaluate(AXE.read_text())
    report: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for rule in report["violations"]
        for node in rule["nodes"]
    ]


def sideways_scroll(page: Page) -> int:
    """Give by how many pixels the page is wider than the screen."""
    overhang: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return overhang


def keep_screenshot(page: Page, name: str) -> Path:
    """Write the whole page to artefacts/NAME.png, after its bars and charts came to rest."""
    page.evaluate(
        "Promise.all(document.getAnimations().filter(a => a.effect.getTiming().iterations === 1)"
        ".map(a => a.finished.catch(() => {})))"
    )
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    page.screenshot(path=path, full_page=True, animations="disabled")
    return path

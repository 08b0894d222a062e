"""The page while a grid operator limits a group: who does, until when, whom it hurts and by how much."""

from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.e2e.browser.conftest import recorded
from tests.e2e.browser.page_checks import (
    DESKTOP,
    PHONE,
    TABLET,
    axe_violations,
    keep_screenshot,
    open_live,
    sideways_scroll,
)
from tests.e2e.browser.site_server import SiteServer, Snapshot
from tests.e2e.browser.test_page import region, spaced_like

pytestmark = pytest.mark.browser

UNTIL = "2026-06-01T08:30:00Z"
SHORT = {"18YZ-V858": 2_300, "5YBS-0X44": 1_600}


def dimmed() -> Snapshot:
    """Give the busy site with everything that may stand beside a group's power."""
    snapshot = recorded("busy")
    now, group = snapshot["now"], snapshot["groups"][0]
    cap = {"source": "grid:Netz West", "since": now, "until": UNTIL}
    group["cap"] = {**cap, "power_w": 15_000, "reason": "transformer 4711 is overloaded"}
    group["charge_points"][1]["cap"] = {**cap, "power_w": 4_200, "reason": ""}
    group["dispatch"] = {"at": now, "due_wh": 3_200, "placed_wh": 3_120, "bound_wh": 3_160, "gap_wh": 40}
    group["metered"] = {"since": group["plan"]["start"], "until": now, "wh": 1_900, "power_w": 11_400}
    group["equipment"] = {
        "pv": {"power_w": 6_200, "peak_w": 12_000, "beyond_rating": False},
        "other": {"power_w": 3_100, "counted_w": 5_000, "beyond_rating": False},
        "battery": {
            "power_w": -2_500,
            "soc_percent": 64,
            "capacity_wh": 40_000,
            "asked_w": -2_500,
            "beyond_rating": False,
        },
        "parts": [
            {
                "name": "north",
                "pv": None,
                "other": {"power_w": None, "counted_w": 2_000, "beyond_rating": True},
                "battery": None,
            }
        ],
    }
    for code, short in SHORT.items():
        session = session_at(snapshot, code)
        session["short_wh"], session["flags"] = short, ["promise.dimmed"]
    session_at(snapshot, "18YZ-V858")["wanted_wh"] = 11_400
    return snapshot


def session_at(snapshot: Snapshot, code: str) -> dict[str, Any]:
    """Give the session that runs at a station."""
    open_states = {"charging", "suspended"}
    found: dict[str, Any] = next(
        one
        for one in snapshot["sessions"]
        if one["code"] == code.replace("-", "") and one["state"] in open_states
    )
    return found


def card(page: Page, code: str) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=code))


def test_a_limit_of_a_group_says_by_whom_until_when_and_why(page: Page, site: SiteServer) -> None:
    site.publish(dimmed())
    open_live(page, site.url)
    group = region(page, "Car park A")
    expect(group).to_contain_text(spaced_like("Limited to 15 kW by the grid operator Netz West, until 10:30"))
    expect(group).to_contain_text("Reason given: transformer 4711 is overloaded")
    expect(group).to_contain_text(spaced_like("limited to 4.2 kW by the grid operator Netz West until 10:30"))
    expect(region(page, "Courtyard B")).not_to_contain_text("Limited")


def test_whom_a_limit_hurts_is_said_with_by_how_much(page: Page, site: SiteServer) -> None:
    site.publish(dimmed())
    open_live(page, site.url)
    hurt = region(page, "Car park A").get_by_role("list", name="Less than promised").get_by_role("listitem")
    expect(hurt).to_have_text([spaced_like(f"{code} {wh / 1000:.2f} kWh less") for code, wh in SHORT.items()])
    expect(card(page, "18YZ-V858")).to_contain_text(spaced_like("2.30 kWh less than promised"))
    expect(card(page, "YCM9-T0EE")).not_to_contain_text("less than promised")


def test_a_cars_stated_need_and_the_gap_of_the_dispatch_are_shown(page: Page, site: SiteServer) -> None:
    site.publish(dimmed())
    open_live(page, site.url)
    expect(card(page, "18YZ-V858")).to_contain_text(spaced_like("The car’s stated need: 11.4 kWh"))
    expect(card(page, "YCM9-T0EE")).not_to_contain_text("stated need")
    group = region(page, "Car park A")
    expect(group).to_contain_text(
        spaced_like(
            "3.12 kWh of 3.20 kWh that are to be kept free for cars fit into whole currents. "
            "At best 40 Wh more"
        )
    )
    better = dimmed()
    better["groups"][0]["dispatch"] |= {"placed_wh": 3_200, "gap_wh": 0}
    site.publish(better)
    expect(group).to_contain_text("Nothing better is possible.")


def test_equipment_of_a_part_is_named_with_it_and_a_reading_that_cannot_be_is_said(
    page: Page, site: SiteServer
) -> None:
    site.publish(dimmed())
    open_live(page, site.url)
    group = region(page, "Car park A")
    expect(group).to_contain_text(spaced_like("Other equipment at north"))
    expect(group.get_by_text("its meter says more than can be")).to_have_count(1)


def test_what_is_not_there_is_not_spoken_of(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    for words in ("Limited to", "Less than promised", "stated need", "fit into whole currents"):
        expect(page.get_by_role("main")).not_to_contain_text(words)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "screen", [PHONE, TABLET, DESKTOP], ids=lambda screen: str(screen["width"]) if screen else ""
)
def test_axe_finds_nothing_and_nothing_sticks_out_at_the_side(
    browser: Browser, site: SiteServer, screen: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    site.publish(dimmed())
    with browser.new_context(locale="de-DE", viewport=screen, color_scheme=scheme) as context:
        page = context.new_page()
        open_live(page, site.url)
        keep_screenshot(page, f"dimmed-{screen['width']}-{scheme}")
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        assert axe_violations(page) == []
        assert sideways_scroll(page) == 0

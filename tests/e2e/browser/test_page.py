"""The page at `/`, in Chromium, against a real server that streams snapshots.

That a running `evmesh up` fills it as well is checked with `page_checks.check_live_page`.
"""

import re
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.e2e.browser.conftest import recorded
from tests.e2e.browser.page_checks import (
    DESKTOP,
    PHONE,
    axe_violations,
    check_live_page,
    keep_screenshot,
    open_live,
    sideways_scroll,
)
from tests.e2e.browser.site_server import SiteServer

pytestmark = pytest.mark.browser

Scheme = Literal["light", "dark"]


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def status(page: Page) -> Locator:
    return page.get_by_role("banner").get_by_role("status")


def spaced_like(text: str) -> re.Pattern[str]:
    """Match `text` with any kind of space between its words."""
    return re.compile(r"\s+".join(map(re.escape, text.split())))


def test_the_header_says_which_site_what_time_it_is_there_and_which_block(
    page: Page, site: SiteServer
) -> None:
    open_live(page, site.url)
    header = page.get_by_role("banner")
    expect(header.get_by_role("heading", level=1)).to_have_text("Canal Street")
    expect(header).to_contain_text(
        re.compile(r"Mon 1 June\s*09:\d\d")
    )  # in Amsterdam, wherever the browser is
    expect(header).to_contain_text("Site time")
    expect(header).to_contain_text("60 × real time")
    expect(header).to_contain_text("Block 12,418")


def test_site_time_runs_on_between_snapshots(page: Page, site: SiteServer) -> None:
    snapshot = recorded("busy")
    # On a busy machine nobody may look for seconds: at this speed each minute is there for ten of them.
    snapshot["now"], snapshot["speed"] = "2026-06-01T07:27:40Z", 6
    site.publish(snapshot)
    open_live(page, site.url)
    expect(page.get_by_role("banner").locator("time")).to_contain_text("09:28")


def test_a_group_shows_its_power_against_its_capacity_and_its_plan(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    group = region(page, "Car park A")
    meter = group.get_by_role("meter", name="Power of the group Car park A")
    expect(meter).to_have_attribute("aria-valuenow", "16400")
    expect(meter).to_have_attribute("aria-valuemax", "30000")
    expect(group.get_by_role("img", name="Planned load and supply")).to_be_visible()
    expect(group.get_by_role("figure")).to_contain_text(
        spaced_like("Peak 30.0 kW at 14:30. The price λ goes from −€0.012/kWh to €0.0743/kWh.")
    )
    group.get_by_text("As a table").click()
    row = group.get_by_role("row").filter(has_text="14:30")
    expect(row.get_by_role("cell")).to_have_text(["30.0", "30.0", "−0.012"])


def test_a_plan_at_one_price_says_so_once(page: Page, site: SiteServer) -> None:
    snapshot = recorded("busy")
    plan = snapshot["groups"][0]["plan"]
    plan["step_price"] = [64_000] * len(plan["step_price"])
    site.publish(snapshot)
    open_live(page, site.url)
    expect(region(page, "Car park A").get_by_role("figure").locator("figcaption")).to_have_text(
        spaced_like("Peak 30.0 kW at 14:30. The price λ is €0.064/kWh throughout.")
    )


def test_a_charge_point_shows_its_power_against_its_rating_and_its_limit(
    page: Page, site: SiteServer
) -> None:
    open_live(page, site.url)
    points = region(page, "Car park A").get_by_role("list").get_by_role("listitem")
    expect(points).to_have_count(8)
    point = points.filter(has=page.get_by_role("heading", name="J5G1-DESA"))
    expect(point.get_by_role("meter", name="Power of J5G1-DESA")).to_have_attribute(
        "aria-valuetext", spaced_like("3.3 of 7.36 kW, limit 3.68 kW")
    )
    expect(point).to_contain_text("Charging")
    expect(point).to_contain_text("€0.289/kWh")
    expect(points.filter(has=page.get_by_role("heading", name="8TPF-24VJ"))).to_contain_text("Offline")


def test_a_session_shows_energy_departure_cost_reason_and_its_way(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    sessions = region(page, "Charging sessions").get_by_role("article")
    expect(sessions).to_have_count(6)
    session = page.get_by_role("article", name="5YBS-0X44")
    expect(session.get_by_role("progressbar")).to_have_attribute(
        "aria-valuetext", spaced_like("0.31 of 24.6 kWh")
    )
    expect(session).to_contain_text("waits for a lower price")
    expect(session).to_contain_text(spaced_like("18:00 in 8 h"))
    expect(session).to_contain_text(spaced_like("€0.08 of at most €7.50"))
    way = session.get_by_role("list", name="Progress of session 5YBS-0X44")
    expect(way.get_by_role("listitem")).to_have_count(6)
    expect(way.locator("[aria-current=step]")).to_contain_text("Paused")
    session.get_by_text("History: 5 entries").click()
    entries = session.get_by_role("group").get_by_role("listitem")
    expect(entries.first).to_contain_text(spaced_like("08:40 Admitted and reserved"))
    expect(entries.last).to_contain_text(spaced_like("08:45 Paused"))


def test_a_finished_session_gives_its_receipt_byte_for_byte(page: Page, site: SiteServer) -> None:
    receipt = b'{"format":"evmesh.receipt/1"}'
    session = next(row for row in recorded("busy")["sessions"] if row["receipt"])
    site.documents[f"/v1/receipts/{session['id']}"] = receipt
    open_live(page, site.url)
    with page.expect_download() as download:
        region(page, "Finished sessions").get_by_role(
            "link", name="Download the receipt of SQ7G-MBFG"
        ).click()
    assert download.value.suggested_filename == f"evmesh-receipt-{session['id']}.json"
    assert download.value.path().read_bytes() == receipt


def test_a_refusal_says_why_in_plain_words_and_what_would_fit(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    refusals = region(page, "Refused requests")
    for words in (
        "Between 09:00 and 12:00, 3.20 kWh more would be needed than the cabinet can give.",
        "In 11 time steps before 12:00, 3.24 kWh more would be needed together than the cabinet can give.",
        "In the whole quarter-hours until 10:00, less a small reserve, the charge point can promise "
        "12.5 kWh less than was asked for.",
        "Nothing would fit there at that time.",
        "21.3 kWh by 12:00 did not fit.",
        "18.0 kWh by 12:00 would fit; 21.3 kWh would be ready by 12:45.",
    ):
        expect(refusals.get_by_text(spaced_like(words))).to_be_visible()


def test_a_refusal_gives_its_proof_and_the_command_that_checks_it(page: Page, site: SiteServer) -> None:
    site.documents["/v1/refusals/4/schedule"] = b'{"format":"evmesh.schedule/1"}'
    open_live(page, site.url)
    first = region(page, "Refused requests").get_by_role("listitem").first
    first.get_by_text("Check it yourself").click()
    expect(first.get_by_role("code")).to_have_text(
        "evmesh plan verify evmesh-refusal-4-problem.json evmesh-refusal-4-schedule.json"
    )
    with page.expect_download() as download:
        first.get_by_role("link", name="the proof").click()
    assert download.value.suggested_filename == "evmesh-refusal-4-schedule.json"
    assert download.value.path().read_bytes() == b'{"format":"evmesh.schedule/1"}'


def test_a_finished_session_gives_all_that_its_check_wants(page: Page, site: SiteServer) -> None:
    session = next(row for row in recorded("busy")["sessions"] if row["settlement"])
    id, plan = session["id"], session["plan"]
    paths = {
        f"evmesh-receipt-{id}.json": f"/v1/receipts/{id}",
        f"evmesh-settlement-{id}.json": f"/v1/settlements/{id}",
        f"evmesh-problem-{plan[:8]}.json": f"/v1/plans/{plan}/problem",
        f"evmesh-schedule-{plan[:8]}.json": f"/v1/plans/{plan}/schedule",
        "evmesh-trust.json": "/v1/trust",
    }
    site.documents |= {path: file.encode() for file, path in paths.items()}
    open_live(page, site.url)
    finished = region(page, "Finished sessions")
    row = finished.get_by_role("listitem").filter(has=page.locator(f"a[href='/v1/receipts/{id}']"))
    row.get_by_text("Check it yourself").click()
    for link in row.get_by_role("list", name="Papers of").get_by_role("link").all():
        with page.expect_download() as download:
            link.click()
        assert download.value.path().read_bytes().decode() == download.value.suggested_filename
        del paths[download.value.suggested_filename]
    assert paths == {}
    expect(row.get_by_role("code")).to_have_text(
        [
            f"evmesh verify receipt evmesh-receipt-{id}.json --trust evmesh-trust.json"
            f" --problem evmesh-problem-{plan[:8]}.json --schedule evmesh-schedule-{plan[:8]}.json",
            f"evmesh verify settlement evmesh-settlement-{id}.json --receipt evmesh-receipt-{id}.json"
            " --trust evmesh-trust.json",
        ]
    )


def test_what_an_auditor_should_look_at_is_said_in_words(page: Page, site: SiteServer) -> None:
    snapshot = recorded("busy")
    session = next(row for row in snapshot["sessions"] if row["receipt"])
    session["flags"] = ["promise.short", "claim.uncollectable", "meter.jumped"]
    site.publish(snapshot)
    open_live(page, site.url)
    expect(region(page, "Finished sessions")).to_contain_text(
        "the car got less energy than promised, the money could not be collected, the meter jumped"
    )


def test_the_plan_begins_with_the_running_step_beside_what_was_metered_in_it(
    page: Page, site: SiteServer
) -> None:
    snapshot = recorded("busy")
    group = snapshot["groups"][0]
    since = {"since": group["plan"]["start"], "until": snapshot["now"]}
    group["metered"] = {**since, "wh": 1_000, "power_w": 6_000}
    group["plan"]["step_price"][0] = None
    site.publish(snapshot)
    open_live(page, site.url)
    figure = region(page, "Car park A").get_by_role("figure")
    expect(figure).to_contain_text(spaced_like("Metered 6.0 kW"))
    expect(figure).to_contain_text(spaced_like("Until 09:30: 1.00 kWh metered so far, 4.40 kWh planned."))
    region(page, "Car park A").get_by_text("As a table").click()
    running = region(page, "Car park A").get_by_role("row").nth(1)
    expect(running.get_by_role("rowheader")).to_have_text("09:15")
    expect(running.get_by_role("cell").last).to_have_text("–")


def test_power_above_its_limit_is_marked_where_it_is_shown(page: Page, site: SiteServer) -> None:
    snapshot = recorded("busy")
    group = snapshot["groups"][0]
    point = next(one for one in group["charge_points"] if one["code"] == "J5G1DESA")
    session = next(one for one in snapshot["sessions"] if one["state"] == "charging")
    expect_marks = ("above its limit", "draws more than it may")
    site.publish(snapshot)
    open_live(page, site.url)
    for words in expect_marks:
        expect(page.get_by_text(words)).to_have_count(0)
    snapshot = recorded("busy")
    for one in (*snapshot["groups"][0]["charge_points"], *snapshot["sessions"]):
        if one["code"] == point["code"] or one.get("id") == session["id"]:
            one |= {"power_w": 7_000, "limit_w": 3_680, "exceeds_limit": True}
    site.publish(snapshot)
    for words in expect_marks:
        expect(page.get_by_text(words).first).to_be_visible()
    assert axe_violations(page) == []


def test_every_power_says_when_it_was_measured(page: Page, site: SiteServer) -> None:
    snapshot = recorded("busy")
    charging = [one for one in snapshot["sessions"] if one["state"] == "charging"]
    charging[0]["measured_at"], charging[1]["measured_at"] = None, "2026-06-01T07:21:00Z"
    charging[0]["reason"] = "not_measured_yet"
    site.publish(snapshot)
    open_live(page, site.url)
    cards = region(page, "Charging sessions").get_by_role("article")
    expect(cards.filter(has_text="waits for the first reading")).to_contain_text("…")
    expect(cards.filter(has_text="at 09:21")).to_have_count(1)


def test_a_platform_that_has_nothing_newer_is_shown_as_old_until_it_has(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    site.interrupt(STARTING)
    expect(status(page)).to_have_text("Not up to date")
    banner = region(page, "Not up to date")
    expect(banner).to_contain_text("The platform is starting. What you see is from 09:25.")
    assert axe_violations(page) == []
    keep_screenshot(page, "page-stale")
    site.publish(recorded("later"))
    expect(status(page)).to_have_text("Live")
    expect(banner).to_have_count(0)


def test_balances_and_anchors_are_shown(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    balances = region(page, "Balances")
    expect(balances).to_contain_text(spaced_like("Paid out €9.60"))
    expect(balances).to_contain_text(spaced_like("The escrow holds €186.34"))
    expect(balances.get_by_role("meter", name="Tab of driver")).to_have_count(5)
    anchor = recorded("busy")["anchors"][0]
    anchors = region(page, "Anchors on chain")
    expect(anchors.get_by_title(anchor["root"])).to_be_visible()
    expect(anchors.get_by_title(anchor["tx_hash"])).to_be_visible()


def test_money_beyond_what_a_double_holds_is_shown_exactly(page: Page, site: SiteServer) -> None:
    snapshot = recorded("busy")
    snapshot["balances"]["escrow"] = "9007199254740993990000"
    site.publish(snapshot)
    open_live(page, site.url)
    expect(region(page, "Balances")).to_contain_text("€9,007,199,254,740,993.99")


def test_what_happens_shows_without_a_reload_and_is_announced(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    finished = region(page, "Finished sessions").get_by_role("link", name="Download the receipt of 9XZ1-YZAS")
    expect(page.get_by_role("article", name="9XZ1-YZAS")).to_be_visible()
    expect(finished).to_have_count(0)
    site.publish(recorded("later"))
    expect(page.get_by_role("article", name="9XZ1-YZAS")).to_have_count(0)
    expect(finished).to_be_visible()
    said = page.get_by_role("log")
    expect(said).to_contain_text("XPTS-JDNY: a request was refused.")
    expect(said).to_contain_text(spaced_like("9XZ1-YZAS: session finished, 13.8 kWh, €4.34."))


def test_it_comes_back_by_itself_after_the_platform_went_away(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    site.stop()
    expect(status(page)).to_have_text("Reconnecting")
    banner = region(page, "Reconnecting")
    expect(banner).to_contain_text("The connection is lost. What you see is from 09:25.")
    expect(region(page, "Car park A")).to_be_visible()  # what is known stays
    assert axe_violations(page) == []
    keep_screenshot(page, "page-reconnecting")
    site.publish(recorded("later"))
    site.start()
    expect(status(page)).to_have_text("Live")
    expect(banner).to_have_count(0)
    expect(page.get_by_role("banner")).to_contain_text("Block 12,461")


STARTING: Final = {
    "type": "about:blank",
    "title": "The platform is starting",
    "status": 503,
    "detail": "The chain does not answer yet.",
    "code": "platform.starting",
    "do": "Wait a few seconds.",
}


def test_a_platform_that_is_not_ready_is_shown_in_its_own_words(page: Page, site: SiteServer) -> None:
    site.problem = STARTING
    page.goto(site.url)
    content = page.get_by_role("main")
    for words in ("The platform is starting", "The chain does not answer yet.", "Wait a few seconds."):
        expect(content).to_contain_text(words)
    assert axe_violations(page) == []
    keep_screenshot(page, "page-trouble")
    site.problem = None
    expect(status(page)).to_have_text("Live")


def test_try_now_does_not_wait_for_the_next_try(page: Page, site: SiteServer) -> None:
    site.problem = STARTING
    page.clock.install(time=0)
    page.goto(site.url)
    again = page.get_by_role("button", name="Try now")
    expect(again).to_be_visible()
    with page.expect_response("**/v1/events"):
        page.clock.pause_at(3_600_000)  # an hour passes at once, and then no timer of the page fires any more
    with page.expect_response("**/v1/events"):
        again.click()


def test_a_snapshot_that_the_page_cannot_read_is_named_and_not_half_shown(
    page: Page, site: SiteServer
) -> None:
    snapshot = recorded("busy")
    snapshot["sessions"][1]["cost"] = 0.58
    site.publish(snapshot)
    page.goto(site.url)
    expect(page.get_by_role("main")).to_contain_text(
        "“sessions[1].cost” should be decimal digits in a string"
    )


def test_a_charger_that_is_only_looked_at_is_shown_beside_those_that_are_paid(
    page: Page, site: SiteServer
) -> None:
    snapshot = recorded("busy")
    charger = {"name": "amtron", "make": "Mennekes", "model": "Amtron", "rating_w": 11_040, "online": True}
    charging = {"state": "charging", "power_w": 11_000, "session_wh": 3_820, "measured_at": snapshot["now"]}
    away = {"state": "unknown", "power_w": None, "session_wh": None, "measured_at": None}
    snapshot["groups"][0]["observed"] = [
        charger | charging,
        charger | away | {"name": "lost", "online": False},
    ]
    site.publish(snapshot)
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        open_live(page, site.url)
        tile = page.get_by_role("listitem", name="amtron", exact=True)
        for words in ("Charging", "not billed here", "in its session", "Mennekes Amtron"):
            expect(tile).to_contain_text(words)
        expect(page.get_by_role("listitem", name="lost")).to_contain_text("Offline")
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_empty_site_says_what_will_appear_where(page: Page, site: SiteServer) -> None:
    site.publish(recorded("empty"))
    open_live(page, site.url)
    for words in (
        "No charge points yet",
        "No car is charging",
        "Nothing refused so far",
        "No driver has opened a tab",
    ):
        expect(page.get_by_role("main")).to_contain_text(words)
    assert axe_violations(page) == []
    keep_screenshot(page, "page-empty")


def test_it_speaks_the_language_of_the_browser_and_remembers_another_choice(
    browser: Browser, site: SiteServer
) -> None:
    with browser.new_context(locale="de-AT") as context:
        page = context.new_page()
        open_live(page, site.url)
        expect(page.locator("html")).to_have_attribute("lang", "de")
        expect(region(page, "Guthaben")).to_contain_text(spaced_like("Das Treuhandkonto hält 186,34 €"))
        page.get_by_role("group", name="Sprache").get_by_role("button", name="English").click()
        expect(region(page, "Balances")).to_be_visible()
        page.reload()
        expect(region(page, "Balances")).to_be_visible()
        expect(page.locator("html")).to_have_attribute("lang", "en")


def test_it_can_be_used_with_the_keyboard_alone(page: Page, site: SiteServer) -> None:
    open_live(page, site.url)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(region(page, "Car park A").get_by_text("As a table")).to_be_focused()
    page.keyboard.press("Enter")
    expect(region(page, "Car park A").get_by_role("table")).to_be_visible()


def test_on_a_phone_what_is_over_is_folded_and_one_tap_away(browser: Browser, site: SiteServer) -> None:
    with browser.new_context(locale="en-GB", viewport=PHONE, has_touch=True) as context:
        page = context.new_page()
        open_live(page, site.url)
        for part, many in (("Finished sessions", 7), ("Refused requests", 4), ("Anchors on chain", 8)):
            folded = region(page, part)
            expect(folded.locator("summary").first).to_have_text(spaced_like(f"{part} {many}"))
            expect(folded.get_by_role("listitem").first).to_be_hidden()
        page.get_by_role("navigation", name="On this page").get_by_role("link", name="Money").tap()
        expect(region(page, "Balances").get_by_role("heading", name="Balances")).to_be_in_viewport()
        expect(region(page, "Balances")).to_contain_text("The escrow holds")
        expect(region(page, "Balances").get_by_text("The escrow holds")).to_be_visible()


def test_on_a_phone_sessions_come_first_and_a_summary_stays_in_sight(
    browser: Browser, site: SiteServer
) -> None:
    with browser.new_context(locale="en-GB", viewport=PHONE) as context:
        page = context.new_page()
        open_live(page, site.url)
        headings = page.get_by_role("main").get_by_role("heading", level=2).all_text_contents()
        assert headings[:2] == ["Charging sessions", "Car park A"]
        region(page, "Anchors on chain").scroll_into_view_if_needed()
        expect(page.get_by_text(spaced_like("of 11 charge points")).first).to_be_in_viewport()
        expect(region(page, "Charging sessions")).not_to_be_in_viewport()


def test_it_does_not_move_for_those_who_asked_for_stillness(browser: Browser, site: SiteServer) -> None:
    with browser.new_context(locale="en-GB", reduced_motion="reduce") as context:
        page = context.new_page()
        open_live(page, site.url)
        assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(
    ("screen", "scheme", "language"),
    [
        pytest.param(PHONE, "light", "en-GB", id="phone-light-en"),
        pytest.param(PHONE, "dark", "en-GB", id="phone-dark-en"),
        pytest.param(
            PHONE, "light", "de-DE", id="phone-light-de"
        ),  # the longest words on the smallest screen
        pytest.param(DESKTOP, "light", "en-GB", id="desktop-light-en"),
        pytest.param(DESKTOP, "dark", "en-GB", id="desktop-dark-en"),
    ],
)
def test_axe_finds_nothing_and_nothing_sticks_out_at_the_side(
    browser: Browser, site: SiteServer, screen: ViewportSize, scheme: Scheme, language: str
) -> None:
    with browser.new_context(locale=language, viewport=screen, color_scheme=scheme) as context:
        page = context.new_page()
        open_live(page, site.url)
        keep_screenshot(page, f"page-{'phone' if screen is PHONE else 'desktop'}-{scheme}-{language[:2]}")
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        assert axe_violations(page) == []
        assert sideways_scroll(page) == 0


def test_what_is_checked_of_a_running_platform_holds_here_too(page: Page, site: SiteServer) -> None:
    check_live_page(page, site.url)

"""A driver at the command line charges on the real platform: asks, pays, follows, keeps the proof."""

import asyncio
import json
import os
import pty
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evmesh.app.receipt_facts import read_chain_facts
from evmesh.app.verify import app as verify_app
from evmesh.domain.receipt import Receipt
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt
from tests.e2e.wallet.yard import COMMAND, EURO, PRICE, WalletDevice, Yard, kill, lying_operator, until

pytestmark = pytest.mark.timeout(300)

SLOW_WH = 25
"""What flows in a minute where vouchers follow it: each pays four minutes ahead, here four seconds."""


def cost(wh: int) -> int:
    return wh * PRICE // 1000


async def test_a_driver_without_gas_pays_by_energy_and_keeps_a_checked_receipt(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station:
        done = await driver("pay", yard.code(station.id), "--energy", "0.4kWh", "--asap", "--yes")
    assert done["exit"] == 0, done
    assert (done["way"], done["asked_wh"], done["stage"]) == ("prepaid", 400, "ended")
    assert 400 <= done["energy_wh"] < 800
    assert done["cost"] == str(min(cost(done["energy_wh"]), cost(400)))
    assert await driver.native() == 0
    raw = Path(done["receipt"]).read_bytes()
    receipt = Receipt.parse(raw)
    report = verify_receipt(
        raw, EthereumSignatures(), chain=await read_chain_facts(yard.run.rpc_url, receipt)
    )
    assert report.ok, report.failed()
    # what was shown before anything was signed, and what was seen while it ran
    for words in (
        "price      0.35 devEUR per kWh",
        "worst case 0.14 devEUR",
        "your risk  0.14 devEUR",
        "charging",
    ):
        assert words in done["err"], done["err"]

    shown = await driver("history", EVMESH_WALLET_PASSWORD="")
    assert shown["exit"] == 0, shown
    assert [one["session"] for one in shown["sessions"]] == [done["session"]]
    kinds = [(move["kind"], move["amount"]) for move in shown["moves"]]
    assert kinds == [("received", str(100 * EURO)), ("deposit", str(cost(400)))]
    await history_tells_how_it_stands_now(yard, driver, done["session"])


async def history_tells_how_it_stands_now(yard: Yard, driver: WalletDevice, session: str) -> None:
    """The wallet left the charge when it was metered: that it was settled since, its history finds out."""
    async with asyncio.timeout(60):
        while (await yard.session(session))["state"] != "settled":
            await asyncio.sleep(0.1)
    [kept] = (driver.home / "charges").glob("*.json")
    left = {**driver.charges()[0], "state": "metered"}
    for operator in ("", yard.run.http_url):  # by the node alone, and by the operator's word
        kept.write_text(json.dumps(left))
        shown = await driver("history", EVMESH_OPERATOR=operator)
        assert [one["state"] for one in shown["sessions"]] == ["settled"], shown
        assert driver.charges()[0] == {**left, "state": "settled"}


async def test_money_buys_energy_and_a_deposit_by_authorization_is_enough(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station:
        code = yard.code(station.id)
        done = await driver("pay", code, "--money", "0.15", "--by", "authorization", "--asap", "--yes")
    assert done["exit"] == 0, done
    assert int(done["budget"]) <= 150_000
    assert done["asked_wh"] == (150_000 * 1000 + 999) // PRICE
    assert int(done["cost"]) <= 150_000
    assert await driver.native() == 0
    # what was not spent is still in the tab, and comes back at once
    closed = await driver("close")
    assert closed["exit"] == 0, closed
    tab = await driver.tab()
    assert (tab.ceiling, tab.epoch) == (0, 1)
    balance = await driver("balance")
    assert balance["tokens"] == str(100 * EURO - int(closed["amount"]))
    assert (await driver("close"))["code"] == "tab.nothing_to_close"


async def test_a_refusal_is_proven_and_one_of_its_offers_is_taken(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station("TINY-1"):
        code = yard.code("TINY-1")
        ask = ("pay", code, "--energy", "30kWh", "--until", _in(yard, hours=8), "--yes")
        refused = await driver(*ask)
        assert (refused["exit"], refused["code"]) == (3, "request.refused"), refused
        assert "proof of that was checked" in refused["what"]
        assert refused["offers"]
        far = await driver(*ask, "--take", "9")
        assert (far["exit"], far["code"]) == (3, "request.refused")
        assert all(charge["stage"] == "ended" for charge in driver.charges())
        assert (await driver.tab()).ceiling == 0

        process = await driver.start(*ask, "--take", "1")
        await until(lambda: _stage(driver) == "paid", "the offer is paid")
        assert 0 < driver.charges()[0]["energy"] <= refused["offers"][0]["energy_wh"]
        stopped = await _left(process)
        assert stopped == 130
        assert (await driver("pay", "--stop"))["exit"] == 0


async def test_a_wallet_that_was_killed_goes_on_with_the_same_charge(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station:
        code = yard.code(station.id)
        ask = ("pay", code, "--energy", "0.5kWh", "--by", "authorization", "--asap", "--yes")
        process = await driver.start(*ask)
        await until(lambda: _stage(driver) == "paid", "the charge is paid")
        kill(process)
        await process.wait()
        let_in = await driver("messages")
        assert let_in["exit"] == 0  # the station lets this wallet read
        done = await driver(*ask)  # the next call goes on with it
        heard = {message["state"] for message in let_in["messages"]}
        async with asyncio.timeout(60):
            while True:  # it waits for a second, and on a busy machine what was said comes later
                said = await driver("messages")
                assert said["exit"] == 0, said
                heard |= {message["state"] for message in said["messages"]}
                if heard & {"charging", "stopping", "metered", "settled"}:
                    break
    assert done["exit"] == 0, done
    assert len(driver.charges()) == 1
    tab = await driver.tab()
    assert tab.ceiling == cost(500)
    assert 500 <= done["energy_wh"] < 900
    assert await driver.native() == 0
    assert (await driver("pay", "--resume"))["code"] == "wallet.nothing_open"


async def test_ctrl_c_asks_and_stops_the_charge(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station:
        code = yard.code(station.id)
        main, other = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("pay", code, "--energy", "20kWh", "--asap"),
            stdin=other,
            stdout=other,
            stderr=other,
            env=driver.environment(),
            start_new_session=True,
        )
        os.close(other)
        screen = _Screen(main)
        await until(lambda: "Sign and pay?" in screen.text(), "the wallet asks before it signs")
        assert not driver.charges()
        screen.type("y\n")
        await until(lambda: "kWh" in screen.text() and "charging" in screen.text(), "it charges")
        process.send_signal(signal.SIGINT)
        await until(lambda: "(s)top the charge" in screen.text(), "the wallet asks what now")
        screen.type("s\n")
        await until(lambda: "receipt  " in screen.text(), "the receipt is there")
        assert await process.wait() == 0
        os.close(main)
    [charge] = driver.charges()
    assert charge["stage"] == "ended"
    assert (await yard.session(charge["session"]))["cause"] == "driver"


async def test_streaming_pays_as_it_flows_and_stops_paying_when_energy_stops(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station:
        code, station.flow_wh = yard.code(station.id), SLOW_WH
        process = await driver.start("pay", code, "--energy", "8kWh", "--way", "streaming", "--asap", "--yes")
        await until(
            lambda: bool(driver.charges()) and driver.charges()[0]["delivered"] >= 300, "it flows", 120
        )
        station.flow_wh = 0
        out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    [charge] = driver.charges()
    session = await yard.session(charge["session"])
    assert charge["note"] == "stream.no_energy"
    assert (session["way"], session["cause"]) == ("streaming", "driver")
    # nothing beyond 100 Wh more than the meter shows was ever signed
    assert charge["signed"] <= cost(charge["delivered"] + 100)
    assert charge["signed"] >= charge["cost"] == cost(charge["delivered"])
    assert await driver.native() == 0


async def test_flex_that_was_earned_pays_for_charges_without_gas_or_any_other_money(yard: Yard) -> None:
    driver = await yard.driver(units=0)
    await yard.reward(driver, 3 * EURO)
    filled = await driver("deposit", "1", "--flex")
    assert (filled["exit"], filled["in_tab"], filled["currency"]) == (0, str(EURO), "FLEX"), filled
    async with yard.station() as station:
        ask = ("pay", yard.code(station.id), "--asap", "--yes", "--flex")
        ahead = await driver(*ask, "--energy", "0.4kWh")
        station.flow_wh = SLOW_WH
        flowing = await driver(*ask, "--money", "0.15", "--way", "streaming")
    for done, way in ((ahead, "prepaid"), (flowing, "streaming")):
        assert (done["exit"], done["way"], done["stage"], done["currency"]) == (0, way, "ended", "FLEX"), done
    for words in ("price      0.35 FLEX per kWh", "worst case 0.14 FLEX", "paid in    FLEX, which"):
        assert words in ahead["err"], ahead["err"]
    await a_stranger_finds_the_receipt_true(yard, driver, Path(ahead["receipt"]))

    spent = int(ahead["cost"]) + int(flowing["cost"])
    closed = await driver("close", "--flex")
    assert (closed["exit"], closed["returned"]) == (0, str(EURO - spent)), closed
    held = await driver("balance")
    assert (held["flex"]["tokens"], held["flex"]["tab"]["left"]) == (str(3 * EURO - spent), "0"), held
    assert (held["tokens"], held["tab"]["deposited"], held["native_wei"]) == ("0", "0", "0"), held
    shown = await driver("history", EVMESH_WALLET_PASSWORD="")
    assert {one["currency"] for one in (*shown["sessions"], *shown["moves"])} == {"FLEX"}, shown
    kinds = [(move["kind"], int(move["amount"])) for move in shown["moves"]]
    assert kinds == [("received", 3 * EURO), ("deposit", EURO), ("close", EURO - spent)]


async def a_stranger_finds_the_receipt_true(yard: Yard, driver: WalletDevice, receipt: Path) -> None:
    """By the operator's stated keys and the node; and false where another FLEX is trusted."""
    assert Receipt.parse(receipt.read_bytes()).chain.paid_in == yard.contracts.flex_money
    [trust] = (driver.home / "operators").glob("*.json")
    known, other = json.loads(trust.read_text()), driver.home / "other.json"
    other.write_text(json.dumps(known | {"flex": {**known["flex"], "token": yard.contracts.token.text}}))
    for file, code in ((trust, 0), (other, 6)):
        words = ["receipt", str(receipt), "--trust", str(file), "--rpc", yard.run.rpc_url]
        done = await asyncio.to_thread(CliRunner().invoke, verify_app, words)
        assert done.exit_code == code, done.output
        assert "ok          paid in: " in done.output


async def test_a_plain_transfer_with_own_gas_starts_the_charge(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station:
        ask = ("pay", yard.code(station.id), "--energy", "0.4kWh", "--way", "transfer", "--yes")
        poor = await driver(*ask)
        assert (poor["exit"], poor["code"]) == (3, "chain.no_gas"), poor
        dated = await driver(*ask, "--until", "18:30")
        assert (dated["exit"], dated["code"]) == (2, "wish.no_departure"), dated
        await yard.give_gas(driver)
        done = await driver(*ask)
    assert done["exit"] == 0, done
    assert "asked for  0.4 kWh as fast as possible; no departure is agreed" in done["err"]
    assert (done["way"], done["stage"], done["signed"]) == ("transfer", "ended", "0")
    assert 400 <= done["energy_wh"] < 800
    receipt = Receipt.parse(Path(done["receipt"]).read_bytes())
    assert receipt.due == int(done["cost"])
    assert receipt.payment is not None
    assert receipt.payment.terms.encode().decode() == driver.charges()[0]["terms"]
    async with lying_operator(yard, ask_for_more) as url:
        refused = await driver(*ask, EVMESH_OPERATOR=url)
    assert (refused["exit"], refused["code"]) == (6, "operator.bad_terms"), refused


def ask_for_more(path: str, document: dict[str, Any]) -> None:
    """Show a fee that was not signed."""
    if path.startswith("/v1/stations/"):
        document["transfer"]["terms"]["fee"] = "90000"


def trust_nobody(path: str, document: dict[str, Any]) -> None:
    """Take no streaming of a wallet that let a charge fall short."""
    if path == "/v1/requests":
        del document["risk"]["streaming"]


async def test_a_way_that_the_operator_does_not_offer_is_said_before_money_moves(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station, lying_operator(yard, trust_nobody) as url:
        ask = ("pay", yard.code(station.id), "--energy", "1kWh", "--way", "streaming", "--yes")
        refused = await driver(*ask, EVMESH_OPERATOR=url)
    assert (refused["exit"], refused["code"]) == (3, "voucher.prepaid_only"), refused
    assert "--way prepaid" in refused["do"]
    assert (await driver.tab()).ceiling == 0


def lie_about(what: str, value: Any) -> Any:
    def lie(path: str, document: dict[str, Any]) -> None:
        if path.startswith("/v1/stations/"):
            document[what] = value

    return lie


async def test_a_station_that_is_not_as_registered_is_refused_before_anything_is_signed(yard: Yard) -> None:
    driver = await yard.driver(units=0)
    for what, value in (("price", 100_000), ("deposit_address", "0x" + "ee" * 20)):
        async with lying_operator(yard, lie_about(what, value)) as url:
            ask = ("pay", yard.code("TINY-1"), "--energy", "1kWh", "--yes")
            refused = await driver(*ask, EVMESH_OPERATOR=url)
        assert (refused["exit"], refused["code"]) == (6, "station.not_as_registered"), refused
    assert not driver.charges()


def double_the_budget(path: str, document: dict[str, Any]) -> None:
    if path == "/v1/requests":
        document["offer"]["budget"] = str(int(document["offer"]["budget"]) * 2)


async def test_an_offer_that_is_not_what_was_asked_is_not_paid(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station() as station, lying_operator(yard, double_the_budget) as url:
        ask = ("pay", yard.code(station.id), "--energy", "1kWh", "--yes")
        refused = await driver(*ask, EVMESH_OPERATOR=url)
    assert (refused["exit"], refused["code"]) == (6, "offer.not_what_was_asked"), refused
    assert (await driver.tab()).ceiling == 0
    assert [charge["stage"] for charge in driver.charges()] == ["ended"]


def claim_less_capacity(path: str, document: dict[str, Any]) -> None:
    """A refusal whose proof is of a cabinet that is full."""
    if path.endswith("/problem"):
        for segment in document["supply"]:
            segment["cap_wh"] = 0


async def test_a_refusal_that_proves_nothing_is_said_to(yard: Yard) -> None:
    driver = await yard.driver()
    async with yard.station("TINY-1"), lying_operator(yard, claim_less_capacity) as url:
        ask = ("pay", yard.code("TINY-1"), "--energy", "30kWh", "--until", _in(yard, hours=8), "--yes")
        refused = await driver(*ask, EVMESH_OPERATOR=url)
    assert (refused["exit"], refused["code"]) == (6, "refusal.not_proven"), refused


async def test_codes_wallets_and_consent_that_are_missing_are_said(yard: Yard) -> None:
    driver = await yard.driver(units=0)
    code = yard.code("TINY-1")
    mistyped = code[:-1] + ("2" if code[-1] != "2" else "3")
    wrong = await driver("pay", mistyped, "--energy", "1kWh", "--yes")
    assert (wrong["exit"], wrong["code"]) == (2, "station.mistyped_code")
    poor = await driver("pay", code, "--energy", "1kWh", "--yes")
    assert (poor["exit"], poor["code"]) == (3, "wallet.too_little")
    for words in ("where      52.000000° N", "price      0.35 devEUR per kWh", "worst case 0.35 devEUR"):
        assert words in poor["err"]
    assert poor["do"] == f"send 0.35 devEUR to {driver.address}"
    rich = await yard.driver()
    unasked = await rich("pay", code, "--energy", "1kWh")
    assert (unasked["exit"], unasked["code"]) == (2, "wallet.not_confirmed")
    assert "worst case" in unasked["err"]
    assert not rich.charges()


def _in(yard: Yard, hours: float) -> str:
    from datetime import timedelta

    return (yard.clock.now() + timedelta(hours=hours)).isoformat()


def _stage(driver: WalletDevice) -> str:
    charges = driver.charges()
    return str(charges[0]["stage"]) if charges else ""


async def _left(process: asyncio.subprocess.Process) -> int | None:
    process.send_signal(signal.SIGINT)
    await process.communicate()
    return process.returncode


class _Screen:
    """What a program wrote on its terminal."""

    def __init__(self, main: int) -> None:
        os.set_blocking(main, False)
        self._main = main
        self._text = ""

    def text(self) -> str:
        try:
            while chunk := os.read(self._main, 65_536):
                self._text += chunk.decode(errors="replace")
        except (BlockingIOError, OSError):
            pass
        return self._text

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

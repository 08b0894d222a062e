"""A car with a wallet, against an API written from its description: it pays as energy flows."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_messages import CarNeed
from evmesh.domain.sessions import Way
from evmesh.domain.units import Wh
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.progress import Stage
from evmesh.sim.visits import Visit
from tests.drivers.central_system import eventually
from tests.drivers.small_platform import INBOX, PRICE, Deal
from tests.drivers.small_town import NAME, Town, small_town, visit

AHEAD = 100 * PRICE // 1000
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
async def slow_town(tmp_path: Path) -> AsyncIterator[Town]:
    async with small_town(tmp_path, speed=150) as opened:
        yield opened


def car(town: Town, **changes: Any) -> Visit:
    return replace(visit(town, "car-01", way=Way.STREAMING), **changes)


def only_deal(town: Town) -> Deal:
    [deal] = town.platform.deals.values()
    return deal


def cost(wh: int) -> int:
    return wh * PRICE // 1000


async def test_a_car_pays_each_100_wh_as_they_flow_and_never_more_than_100_wh_ahead(slow_town: Town) -> None:
    town = slow_town  # the last bill is paid within two minutes, which a busy machine has to have
    arrival = town.clock.now() + timedelta(minutes=5)
    comes = car(
        town, arrival=arrival, stated_departure=arrival + timedelta(hours=2), departure=arrival + HALF_AN_HOUR
    )
    metered_at: list[tuple[int, int]] = []
    town.platform.spoil_event = lambda event: metered_at.append(
        (event["metered_wh"], only_deal(town).vouchers[-1] if only_deal(town).vouchers else 0)
    )
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    deal = only_deal(town)
    assert deal.vouchers[0] == AHEAD
    assert deal.vouchers == sorted(set(deal.vouchers))
    assert len(deal.vouchers) > 10
    assert all(signed <= cost(metered + 100) for metered, signed in metered_at)
    stop = town.central.record(NAME).last("StopTransaction")["meter_stop"]
    assert cost(stop) <= deal.vouchers[-1] <= cost(stop + 100)
    progress = town.progress(comes)
    assert progress is not None
    assert (progress.note, progress.signed) == ("", deal.vouchers[-1])
    assert (town.directory / "receipts" / f"{deal.id}.json").exists()


@pytest.mark.parametrize("code", ["reservation.too_many_unpaid", "reservation.unpaid_before"])
async def test_a_car_that_is_promised_nothing_without_money_in_its_tab_fills_it_and_asks_again(
    town: Town, code: str
) -> None:
    comes, platform = car(town), town.platform
    needed = cost(comes.requested)

    def unpaid(_: str, ask: dict[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
        return (code, []) if platform.ceilings.get(ask["payer"], 0) < needed else None

    platform.refuse = unpaid
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert [order["ceiling"] for order in platform.relayed] == [str(needed)]
    assert len(platform.asked) == 2
    assert platform.asked[0] == platform.asked[1]  # the very request: no second session can come of it
    assert only_deal(town).vouchers[0] == AHEAD  # and then it streams
    progress = town.progress(comes)
    assert progress is not None
    assert progress.note == ""


async def test_a_car_that_may_not_stream_pays_ahead(town: Town) -> None:
    comes = car(town)
    town.platform.streams = False
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert only_deal(town).vouchers == [only_deal(town).budget]
    assert getattr(town.progress(comes), "note", None) == ""


def wants_more(event: dict[str, Any]) -> None:
    """Energy stops after 1 kWh, and the station goes on wanting."""
    if event["metered_wh"] > 1_000:
        event["wanted_cumulative"] = str(cost(event["metered_wh"]) + AHEAD)
        event["metered_wh"] = 1_000


def counts_double(event: dict[str, Any]) -> None:
    """The register runs away from what the battery gets."""
    event["metered_wh"] *= 2
    event["wanted_cumulative"] = str(cost(event["metered_wh"] + 100))


def counts_impossibly(event: dict[str, Any]) -> None:
    if event["metered_wh"] > 1_000:
        event["metered_wh"] *= 100
        event["wanted_cumulative"] = str(cost(event["metered_wh"] + 100))


def goes_back(event: dict[str, Any]) -> None:
    if event["metered_wh"] > 1_000:
        event["metered_wh"] = 0


def another_base(event: dict[str, Any]) -> None:
    if event["metered_wh"] > 1_000:
        event["base"] = str(AHEAD)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (wants_more, "stream.wanted_too_much"),
        (counts_double, "stream.not_received"),
        (counts_impossibly, "stream.too_fast"),
        (goes_back, "stream.register_went_back"),
        (another_base, "stream.other_terms"),
    ],
)
async def test_a_car_stops_paying_within_100_wh_where_the_figures_are_wrong_and_says_stop(
    town: Town, spoil: Any, code: str
) -> None:
    comes = car(town)
    town.platform.spoil_event = spoil
    async with town.people(comes):
        await eventually(lambda: getattr(town.progress(comes), "stage", None) in (Stage.LEFT, Stage.DONE))
    progress = town.progress(comes)
    assert progress is not None
    assert progress.note == code
    received = progress.received_wh
    assert received is not None
    # what the battery got and 100 Wh more; a tenth and 200 Wh where the meter deceives by less than that
    bound = cost(received + 100) if code != "stream.not_received" else cost(received * 11 // 10 + 300)
    if spoil is wants_more:
        bound = cost(1_100)  # energy stopped at 1 kWh, as far as the car was told
    assert only_deal(town).vouchers[-1] <= bound
    assert only_deal(town).stops


async def test_a_car_that_gets_no_energy_pays_100_wh_and_says_stop(town: Town) -> None:
    comes = car(town, need=Wh(1))
    town.platform.spoil_event = lambda event: event.update(metered_wh=0, wanted_cumulative=str(AHEAD))
    async with town.people(comes):
        await eventually(lambda: getattr(town.progress(comes), "stage", None) in (Stage.LEFT, Stage.DONE))
    assert getattr(town.progress(comes), "note", "") == "stream.no_energy"
    assert only_deal(town).vouchers == [AHEAD]
    assert only_deal(town).stops


@pytest.mark.parametrize(
    ("behaviour", "totals"),
    [
        (Misbehaviour(withholds_vouchers=True), {AHEAD}),
        (Misbehaviour(replays_vouchers=True), {AHEAD}),
        (Misbehaviour(overpays=True), {AHEAD, cost(10_000) + 1}),
    ],
)
async def test_a_car_can_misbehave(town: Town, behaviour: Misbehaviour, totals: set[int]) -> None:
    comes = car(town)
    async with town.people(comes, misbehaviour={comes.driver: behaviour}):
        await eventually(lambda: getattr(town.progress(comes), "stage", None) in (Stage.LEFT, Stage.DONE))
    assert set(only_deal(town).vouchers) == totals


class Channels:
    """A car's channels, in memory; as much of the port `Broadcasts` as a car uses."""

    def __init__(self) -> None:
        self.began: dict[str, Mode] = {}
        self.admitted: list[bytes] = []
        self.said: list[CarNeed] = []

    async def begin(self, name: str, mode: Mode = Mode.RESTRICTED) -> Channel:
        self.began[name] = mode
        return Channel(mode, b"\1" * 32, name)

    async def admit(self, name: str, reader: bytes) -> bytes:
        self.admitted.append(reader)
        return b"grant"

    async def say(self, said: dict[str, bytes], notes: Any = None) -> None:
        self.said += [CarNeed.parse(body) for body in said.values()]


async def test_a_car_tells_what_it_needs_while_it_charges(town: Town) -> None:
    comes, channels = car(town), Channels()
    town.channels[comes.driver] = channels  # type: ignore[assignment]
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    deal = only_deal(town)
    assert channels.began == {f"need {deal.id}": Mode.RESTRICTED}
    assert channels.admitted == [INBOX]
    assert deal.need["grant"] == "0x" + b"grant".hex()
    needs = [said.energy for said in channels.said]
    assert needs[0] > needs[-1] > 0
    assert needs == sorted(needs, reverse=True)
    charge = [said.soc_percent for said in channels.said]
    assert None not in charge
    assert charge[-1] > charge[0]  # type: ignore[operator]


@pytest.mark.parametrize("at", ["POST vouchers", "POST requests"])
async def test_a_car_that_loses_power_goes_on_paying_where_it_was(town: Town, at: str) -> None:
    comes, calls = car(town), {"n": 0}

    def cut(path: str) -> None:
        calls["n"] += path == at
        if path == at and calls["n"] == (5 if at == "POST vouchers" else 1):
            running.cancel()

    town.platform.before_answer = cut
    async with town.people(comes) as running:
        await eventually(running.done)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    deal = only_deal(town)
    assert deal.vouchers == sorted(deal.vouchers)
    assert len(town.central.record(NAME).transactions) == 1
    assert getattr(town.progress(comes), "signed", 0) == deal.vouchers[-1]

"""Simulated drivers against an API written from its description: they ask, check, pay, charge and leave."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.progress import Stage
from evmesh.sim.visits import Money
from tests.drivers.central_system import eventually
from tests.drivers.clocks import MONDAY
from tests.drivers.small_platform import FLEX_DOMAIN, PRICE, TestWallet
from tests.drivers.small_town import NAME, Town, visit


@pytest.mark.parametrize("driver", ["driver-01", "driver-02", "driver-03", "driver-04"])
async def test_a_driver_asks_pays_charges_leaves_and_keeps_the_receipt(town: Town, driver: str) -> None:
    comes = visit(town, driver)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    progress = town.progress(comes)
    assert progress is not None
    assert progress.accepted is not None
    assert progress.received_wh is not None
    assert progress.received_wh > 2_500
    receipt = town.directory / "receipts" / f"{progress.accepted.session}.json"
    assert receipt.read_bytes().endswith(b"\n")
    assert len(town.platform.relayed) == 1
    assert town.platform.relayed[0]["ceiling"] == str(10_000 * PRICE // 1000)
    stop = town.central.record(NAME).last("StopTransaction")
    assert stop["meter_stop"] == progress.received_wh
    assert stop["reason"] in ("Remote", "EVDisconnected")
    (deal,) = town.platform.deals.values()
    assert deal.vouchers == [deal.budget]  # prepaid: one voucher, for all of it and no more


async def test_a_driver_asks_deposits_and_pays_in_flex_where_the_file_says_so(town: Town) -> None:
    comes = replace(visit(town), money=Money.FLEX)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    (deal,) = town.platform.deals.values()
    assert deal.document["escrow"] == FLEX_DOMAIN.verifying_contract.text
    assert town.platform.relayed_in == [FLEX_DOMAIN]
    assert deal.vouchers == [deal.budget]


async def test_a_refused_driver_takes_the_first_offer_of_at_least_half(town: Town) -> None:
    comes = visit(town)
    offers = [
        {"energy_wh": 4_999, "departure": comes.stated_departure.isoformat()},
        {"energy_wh": 10_000, "departure": (comes.stated_departure + timedelta(hours=9)).isoformat()},
        {"energy_wh": 6_000, "departure": comes.stated_departure.isoformat()},
    ]
    town.platform.refuse = lambda code, ask: ("request.refused", offers) if ask["energy_wh"] > 6_000 else None
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert [body["request"]["energy_wh"] for body in town.platform.asked] == [10_000, 6_000]
    assert len({body["request"]["nonce"] for body in town.platform.asked}) == 2


async def test_a_refused_driver_without_a_good_offer_goes_and_frees_the_place(town: Town) -> None:
    refused = visit(town)
    later = refused.arrival + timedelta(hours=1)
    next_one = visit(town, "driver-02", arrival=later, departure=later + timedelta(minutes=30))
    poor = [{"energy_wh": 100, "departure": refused.stated_departure.isoformat()}]
    town.platform.refuse = lambda code, ask: (
        ("request.refused", poor) if len(town.platform.asked) == 1 else None
    )
    async with town.people(refused, next_one):
        await eventually(town.is_at(refused, Stage.GONE))
        await eventually(town.is_at(next_one, Stage.DONE))
    gone, charged = town.progress(refused), town.progress(next_one)
    assert gone is not None
    assert charged is not None
    assert gone.note == "request.refused"
    assert charged.connector == "CA-301"


async def test_a_driver_whose_connector_is_taken_chooses_a_neighbour(town: Town) -> None:
    first, second = visit(town), visit(town, "driver-02")
    third = visit(town, "driver-03")
    async with town.people(first, second, third):
        await eventually(town.is_at(first, Stage.DONE))
        await eventually(town.is_at(second, Stage.DONE))
        await eventually(lambda: getattr(town.progress(third), "stage", None) in (Stage.GONE, Stage.DONE))
    places = [getattr(town.progress(one), "connector", "") for one in (first, second)]
    assert sorted(places) == ["CA-301", "CA-302"]
    gone = town.progress(third)
    assert gone is not None
    assert (gone.stage, gone.note) == (Stage.GONE, "no_free_place")


async def test_a_driver_moves_where_the_platform_says_that_the_connector_is_taken(town: Town) -> None:
    comes = visit(town)
    town.platform.refuse = lambda code, ask: ("connector.taken", []) if code == "CODE1" else None
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert getattr(town.progress(comes), "connector", "") == "CA-302"


def raise_price(answer: dict[str, Any]) -> None:
    answer["offer"]["price"] += 1


def raise_budget(answer: dict[str, Any]) -> None:
    answer["offer"]["budget"] = str(int(answer["offer"]["budget"]) * 2)


def change_payee(answer: dict[str, Any]) -> None:
    answer["offer"]["payee"] = "0x" + "ee" * 20


def sign_otherwise(answer: dict[str, Any]) -> None:
    answer["offer"]["start_by"] += 1


def forget_signature(answer: dict[str, Any]) -> None:
    del answer["offer_signature"]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (raise_price, "offer.not_what_was_asked"),
        (raise_budget, "offer.not_what_was_asked"),
        (change_payee, "offer.not_what_was_asked"),
        (sign_otherwise, "offer.wrong_signer"),
        (forget_signature, "offer.malformed"),
    ],
)
async def test_a_driver_does_not_pay_for_an_offer_that_is_not_what_was_asked(
    town: Town, spoil: Callable[[dict[str, Any]], None], code: str
) -> None:
    town.platform.spoil = spoil
    comes = visit(town)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.GONE))
    assert getattr(town.progress(comes), "note", "") == code
    assert not town.platform.relayed


async def test_a_driver_tries_again_while_the_platform_is_away(town: Town) -> None:
    comes = visit(town)
    town.platform.away = 5
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert town.platform.away == 0
    assert len(town.platform.deals) == 1


async def test_a_driver_with_an_empty_wallet_goes(town: Town) -> None:
    comes = visit(town)
    town.wallets[comes.driver] = TestWallet(town.platform, units=10)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.GONE))
    assert getattr(town.progress(comes), "note", "") == "wallet.too_little"


async def test_a_driver_raises_the_tab_by_what_the_relayer_asks_for_at_least(town: Town) -> None:
    comes = visit(town)
    budget = 10_000 * PRICE // 1000
    town.platform.min_deposit = 100_000
    town.platform.ceilings[town.wallet(comes.driver).address.text] = budget - 70_000
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert [int(order["value"]) for order in town.platform.relayed] == [100_000]


async def test_a_driver_whose_reservation_ended_meanwhile_asks_again(town: Town) -> None:
    comes = visit(town)
    town.platform.expires = 1
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert len(town.platform.deals) == 2
    assert len(town.platform.relayed) == 1  # the money was there already
    assert getattr(town.progress(comes), "note", "") == ""


@pytest.mark.parametrize("code", ["reservation.too_many_unpaid", "reservation.unpaid_before"])
async def test_a_driver_waits_while_others_are_still_to_pay(town: Town, code: str) -> None:
    comes = visit(town)
    town.platform.refuse = lambda _, ask: (code, []) if len(town.platform.asked) < 4 else None
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))


async def test_a_driver_who_never_comes_to_plug_in_leaves_nothing_behind(town: Town) -> None:
    comes = visit(town)
    town.platform.starts = False
    async with town.people(comes, misbehaviour={comes.driver: Misbehaviour(never_plugs=True)}):
        await eventually(town.is_at(comes, Stage.PAID))
        next(iter(town.platform.deals.values())).state = "refunded"
        await eventually(town.is_at(comes, Stage.DONE))
    assert getattr(town.progress(comes), "note", "") == "session.refunded"
    assert not town.central.record(NAME).said("StartTransaction")


@pytest.mark.parametrize("at", ["POST requests", "POST relay", "POST vouchers", "GET CODE1"])
async def test_a_device_that_loses_power_before_an_answer_goes_on_with_the_same_session(
    town: Town, at: str
) -> None:
    comes = visit(town)
    cut = asyncio.Event()

    def cut_once(path: str) -> None:
        if path == at and not cut.is_set():
            cut.set()
            running.cancel()

    town.platform.before_answer = cut_once
    async with town.people(comes) as running:
        await eventually(cut.is_set)
        with pytest.raises(asyncio.CancelledError):
            await running
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert len(town.platform.deals) == 1
    assert len(town.central.record(NAME).transactions) == 1
    stop = town.central.record(NAME).last("StopTransaction")
    assert stop["meter_stop"] == getattr(town.progress(comes), "received_wh", None)
    spent = {order["payer"]: int(order["value"]) for order in town.platform.relayed}
    assert list(spent.values()) == [10_000 * PRICE // 1000]


async def test_visits_that_would_have_begun_in_the_dark_are_left_out(town: Town) -> None:
    missed = visit(town, arrival=MONDAY - timedelta(hours=1))
    comes = visit(town, "driver-02")
    async with town.people(missed, comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert town.progress(missed) is None

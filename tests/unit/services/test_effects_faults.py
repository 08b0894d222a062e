"""What fails in a way that waiting does not mend is set aside, and nothing else stands still for it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from evmesh.domain.chain import Claim, Mined, Tab
from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Session, State
from evmesh.domain.settlement import Settlement
from evmesh.services.payouts import EVERY, Payouts
from tests.fakes.world import OPERATOR, Driver, World, eventually, running


async def metered(world: World, driver: Driver, bay: int) -> Session:
    session = await world.charging(driver, world.places[bay], 5_000)
    world.clock.move(timedelta(minutes=20))
    return await world.end(session, (session.meter_start or 0) + 1_000)


def break_claims_of(world: World, payer: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = world.escrow.claim

    async def claim_or_break(claims: list[Claim], key: str) -> Mined:
        if claims[0].payer == payer:
            raise ProtocolViolation("chain.node_refused", "the node refused eth_call: out of memory")
        return await claim(claims, key)

    monkeypatch.setattr(world.escrow, "claim", claim_or_break)


async def test_an_effect_that_the_node_cannot_do_is_parked_and_the_others_go_on(
    world: World, driver: Driver, neighbour: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await metered(world, driver, 0), await metered(world, neighbour, 2)
    break_claims_of(world, driver.address, monkeypatch)

    async def second_is_settled() -> bool:
        return await world.is_in(second, State.SETTLED) and bool((await world.now(first)).flags)

    with capture_logs() as logs:
        async with running(world.effects):
            await eventually(second_is_settled)
    assert await world.owed() == ["claim"]
    stuck = await world.now(first)
    assert (stuck.state, stuck.flags) == (State.METERED, ("claim.parked",))
    assert [log["code"] for log in logs if log["event"] == "effect.parked"] == ["chain.node_refused"]


async def test_a_parked_effect_is_tried_again_and_flagged_once(
    world: World, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.services.effects._PARKED_S", 0.02)
    session = await metered(world, driver, 0)

    async def tried_often() -> bool:
        async with world.database.begin() as unit:
            return any(effect.attempts > 2 for effect in await unit.pending_effects())

    with monkeypatch.context() as broken:
        break_claims_of(world, driver.address, broken)
        async with running(world.effects):
            await eventually(tried_often)
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.flags) == (State.SETTLED, ("claim.parked",))


@pytest.mark.parametrize("code", ["tab.nothing_to_close", "tab.other_epoch"])
async def test_a_refund_of_a_tab_that_its_driver_emptied_meanwhile_ends(
    world: World, driver: Driver, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    session = await world.stop_word(driver, session)

    async def too_late(payer: Address, tab: Tab, key: str) -> Mined:
        world.escrow.finish_exit(payer)
        raise Refused(code, "the tab holds no money")

    monkeypatch.setattr(world.escrow, "refund", too_late)
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.refund) == (State.REFUNDED, None)
    settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
    assert (settlement.kind, settlement.amount, settlement.transactions) == ("refund", 0, ())


async def test_a_refund_of_a_tab_that_never_held_anything_sends_nothing(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    world.escrow.tabs.clear()
    session = await world.stop_word(driver, session)
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.refund, world.escrow.sent) == (State.REFUNDED, None, [])


async def test_a_refund_keeps_what_the_session_learned_while_the_node_was_asked(
    world: World, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    session = await world.stop_word(driver, session)
    tab = world.escrow.tab

    async def slow(payee: Address, payer: Address) -> Tab:
        async with world.transitions.begin() as work:  # somebody writes while we wait for the node
            now = await work.unit.session(session.id)
            assert now is not None
            await work.unit.touch_session(replace(now, flags=("seen.meanwhile",)))
        return await tab(payee, payer)

    monkeypatch.setattr(world.escrow, "tab", slow)
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.flags) == (State.REFUNDED, ("seen.meanwhile",))


async def test_a_payout_that_fails_is_tried_again_an_hour_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.escrow.earned = 500
    refusals = [Refused("tab.nothing_to_pay_out", "nothing"), ProtocolViolation("chain.node_refused", "no")]
    payout = world.escrow.payout

    async def payout_or_fail(key: str) -> Mined:
        if refusals:
            raise refusals.pop()
        return await payout(key)

    monkeypatch.setattr(world.escrow, "payout", payout_or_fail)

    async def is_paid() -> bool:
        world.clock.move(EVERY)
        await asyncio.sleep(0)
        return world.escrow.paid_out == 500

    async with running(Payouts(world.clock, world.escrows, OPERATOR)):
        await eventually(is_paid)
    assert not refusals


async def test_payouts_are_on_the_hour_however_lately_the_platform_began(world: World) -> None:
    world.escrow.earned = 500
    world.clock.move(timedelta(minutes=50 - world.clock.now().minute))

    async def is_paid() -> bool:
        return world.escrow.paid_out == 500

    async with running(Payouts(world.clock, world.escrows, OPERATOR)):
        await asyncio.sleep(0)
        assert not await is_paid()
        world.clock.move(timedelta(minutes=10, seconds=1))
        await eventually(is_paid)

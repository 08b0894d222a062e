"""Vouchers on a real chain: a site whose uplink is cut goes on and settles later, and refills are pulled."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.app.receipt_facts import read_chain_facts
from evmesh.domain.chain import SignedRefill
from evmesh.domain.errors import Unavailable
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session, State
from evmesh.domain.settlement import Settlement
from evmesh.domain.signed_types import Refill
from evmesh.ledger.abi import encode_call
from evmesh.services.tab_memory import CLAIM_MARGIN
from evmesh.services.tab_watch import TAB_UNSEEN, TabWatch
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from tests.contract.chain_yard import ChainYard, open_chain_yard
from tests.contract.ledger_world import EURO
from tests.fakes.world import SIGNATURES, Driver, eventually, running
from tests.unit.services.streaming_sessions import PER_100_WH, meter, send


@pytest.fixture
async def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChainYard]:
    async with open_chain_yard(tmp_path, monkeypatch) as opened:
        yield opened


async def known(yard: ChainYard, driver: Driver) -> None:
    """Let a driver be seen: money in the tab, and a promise that is called off."""
    await yard.fill(driver, 10 * EURO)
    session = await yard.world.promised(driver, yard.world.places[3])
    assert (await yard.world.stop_word(driver, session)).state is State.EXPIRED


async def charge(yard: ChainYard, driver: Driver, bay: int, wh: int = 260) -> Session:
    """Ask, pay 100 Wh ahead step by step, and leave."""
    world = yard.world
    session = await send(world, driver, await world.promised(driver, world.places[bay]), PER_100_WH)
    assert (await world.begin(session)).accepted
    session = await world.now(session)
    for metered in range(50, wh, 50):
        session = await meter(world, session, metered)
        session = await send(world, driver, session, (metered + 100) * 350)
    return await world.end(session, (session.meter_start or 0) + wh)


async def test_a_site_without_uplink_charges_and_settles_when_the_chain_is_back(yard: ChainYard) -> None:
    world, drivers = yard.world, [Driver("driver"), Driver("neighbour")]
    for driver in drivers:
        await known(yard, driver)
    await yard.take_chain_away()
    async with running(world.effects):
        ended = [await charge(yard, driver, bay) for bay, driver in enumerate(drivers)]
        for session in ended:
            raw = await world.document(session, Receipt.FORMAT)
            assert (session.state, session.due) == (State.METERED, 260 * 350)
            assert verify_receipt(raw, SIGNATURES, world.trust()).ok
        assert sorted(await world.owed()) == ["anchor", "anchor", "claim", "claim"]
        await yard.bring_chain_back()
        await eventually(world.owes_nothing, within_s=30)
    for driver, session in zip(drivers, ended, strict=True):
        assert (await world.now(session)).state is State.SETTLED
        assert await yard.spent(driver) == 260 * 350
        raw = await world.document(session, Receipt.FORMAT)
        facts = await read_chain_facts(yard.ledger.rpc.url, Receipt.parse(raw))
        checks = {one.name: one for one in verify_receipt(raw, SIGNATURES, chain=facts).checks}
        assert checks["settlement"].status is Status.OK, checks["settlement"].what
        assert checks["vouchers"].status is Status.OK
    first, second = [Settlement.parse(await world.document(session, Settlement.FORMAT)) for session in ended]
    assert first.transactions == second.transactions  # one transaction claimed both


async def test_a_wallet_that_was_never_seen_is_refused_while_the_chain_is_away(yard: ChainYard) -> None:
    driver = Driver("stranger")
    await yard.fill(driver, 10 * EURO)
    await yard.take_chain_away()
    with pytest.raises(Unavailable, match=r"tab\.never_seen") as refused:
        await yard.world.promised(driver, yard.world.places[0])
    assert "never seen" in refused.value.what
    await yard.bring_chain_back()


async def test_what_was_seen_is_trusted_for_less_than_the_exit_window(yard: ChainYard) -> None:
    world, driver, neighbour = yard.world, Driver("driver"), Driver("neighbour")
    for one in (driver, neighbour):
        await known(yard, one)
    window = timedelta(seconds=await yard.escrow.window())
    await yard.take_chain_away()
    world.clock.move(window - CLAIM_MARGIN - timedelta(minutes=10))
    session = await send(world, driver, await world.promised(driver, world.places[0]), PER_100_WH)
    await world.begin(session)
    watch = TabWatch(world.transitions, world.clock, world.tabs, world.live)
    await watch.look()
    assert await world.is_in(session, State.CHARGING)
    world.clock.move(timedelta(minutes=10))
    await watch.look()
    stopped = await world.now(session)
    assert (stopped.state, stopped.cause) == (State.STOPPING, TAB_UNSEEN)
    with pytest.raises(Unavailable, match=r"tab\.seen_too_long_ago"):
        await send(world, driver, stopped, 2 * PER_100_WH)
    with pytest.raises(Unavailable, match=r"tab\.seen_too_long_ago"):
        await world.promised(neighbour, world.places[1])
    await yard.bring_chain_back()


async def test_a_refill_is_pulled_by_the_claim(yard: ChainYard) -> None:
    world, driver = yard.world, Driver("driver")
    await yard.fill(driver, 2 * EURO)
    contracts = yard.ledger.deployment.contracts
    await yard.ledger.chain.fund(driver.address)
    allowing = encode_call("approve(address,uint256)", contracts.charge_tab, 50 * EURO)
    await yard.ledger.relayer(driver.key).submit("approve", contracts.token, allowing)
    session = await send(world, driver, await world.promised(driver, world.places[0]), PER_100_WH)
    await world.begin(session)
    session = await meter(world, await world.now(session), 150)
    deadline = int((world.clock.now() + timedelta(hours=1)).timestamp())
    value = Refill(yard.operator.payee.address, 0, 3 * PER_100_WH, 9 * EURO, deadline)
    refill = SignedRefill(value.cumulative, value.ceiling, value.deadline, driver.sign(value))
    voucher = world.voucher(driver, session, cumulative=3 * PER_100_WH)
    await world.payments.voucher(session.id, *voucher, refill)
    done = await world.end(session, (session.meter_start or 0) + 180)
    async with running(world.effects):
        await eventually(world.owes_nothing, within_s=20)
    tab = await yard.escrow.tab(yard.operator.payee.address, driver.address)
    assert (tab.spent, tab.ceiling) == (63_000, 9 * EURO)
    settled = Settlement.parse(await world.document(done, Settlement.FORMAT))
    assert (settled.kind, settled.amount, len(settled.transactions)) == ("claim", 63_000, 1)

"""The settlement of a charge by transfer names what was received and what the chain took back, and holds."""

from datetime import timedelta

import pytest

from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import State
from evmesh.domain.settlement import Settlement
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Report
from tests.fakes.world import SIGNATURES, Driver, World, running

EURO = 1_000_000


@pytest.fixture
def sender(driver: Driver) -> Address:
    return driver.address


async def sent(world: World, sender: Address, amount: int) -> None:
    world.deposits.send(sender, world.places[0].deposit_address, amount)
    await world.watch.look()
    await world.transfers.decide()


def false_in(report: Report) -> list[str]:
    return [f"{one.name}: {one.code} {one.what}" for one in report.failed()]


@pytest.mark.parametrize(
    ("taken_back", "kind", "received", "due"),
    [(1, "loss", 2 * EURO, 3_500_000), (2, "loss", 0, 3_500_000), (0, "claim", 5 * EURO, 3_500_000)],
)
async def test_the_settlement_names_what_was_received_and_what_was_taken_back(
    world: World, sender: Address, taken_back: int, kind: str, received: int, due: int
) -> None:
    await sent(world, sender, 2 * EURO)
    await sent(world, sender, 3 * EURO)
    (session,) = await world.sessions(open_only=False)
    await world.begin(session)
    session = await world.now(session)
    ended = await world.end(session, (session.meter_start or 0) + 10_000)
    if taken_back:
        world.deposits.take_back(taken_back)
        await world.watch.look()
        world.clock.move(timedelta(hours=2))
    async with running(world.effects):
        done = await world.settled(ended)
    assert (done.state, done.due) == (State.SETTLED, due)
    raw = await world.document(done, Receipt.FORMAT)
    settlement = Settlement.parse(await world.document(done, Settlement.FORMAT))
    split = settlement.deposit
    assert split is not None
    assert (settlement.kind, split.received) == (kind, received)
    assert (sum(one.amount for one in split.transfers), len(split.lost)) == (received, taken_back)
    assert not false_in(verify_settlement(settlement.encode(), SIGNATURES, raw, world.trust()))
    assert not false_in(verify_receipt(raw, SIGNATURES, world.trust()))

"""The platform may die between any two steps of a charge by transfer: nothing is lost, nothing paid twice."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

from evmesh.domain.sessions import State
from tests.drivers.clocks import HandClock
from tests.fakes.world import OPERATOR, Driver, World, eventually, open_world, running

EURO = 1_000_000
STEPS = ("transfers:", "start:", "deposit.", "pay_out:", "settle:")
"""The checkpoints that transfers add, and those at which a charge of theirs begins and ends."""

PAID, SECOND, DUE = 5 * EURO, 3 * EURO, 4 * 350_000


class Crash(BaseException):
    """The process dies here."""


class Fuse:
    """Lets so many checkpoints pass; what comes after a death passes no more."""

    def __init__(self, passes: int | None) -> None:
        self.left = passes
        self.blown_at: str | None = None

    def __call__(self, name: str) -> None:
        if self.blown_at is not None or self.left == 0:
            self.blown_at = self.blown_at or name
            raise Crash(name)
        if self.left is not None:
            self.left -= 1


async def play(world: World, fuse: Fuse) -> None:
    """Go on from wherever this stands, to the end: watch, begin, charge, stop, pay out, return."""
    await world.watch.look()
    await world.transfers.decide()
    await world.returns.look()
    for session in await world.sessions():
        if session.state is State.STARTING:
            await world.begin(session)
        session = await world.now(session)
        if session.state is State.CHARGING:
            await world.end(session, (session.meter_start or 0) + 4_000)

    async def done_or_dead() -> bool:
        return fuse.blown_at is not None or await world.owes_nothing()

    async with asyncio.timeout(10):
        async with running(world.effects):
            await eventually(done_or_dead)


async def lives_until_done(directory: Path, passes: int) -> str | None:
    """Play with a death after so many checkpoints, then again without; give where it died."""
    driver, neighbour, clock = Driver("driver"), Driver("neighbour"), HandClock()
    fuse = Fuse(passes)
    async with open_world(directory, clock=clock) as first:
        first.transitions.checkpoint = fuse
        chain, place = first.deposits, first.places[0]
        chain.send(driver.address, place.deposit_address, PAID)
        chain.send(neighbour.address, place.deposit_address, SECOND)
        fee = (await first.transfers.quote()).fee
        try:
            await play(first, fuse)
        except (Crash, BaseExceptionGroup):
            assert fuse.blown_at is not None
    async with open_world(directory, deposits=chain, clock=clock) as again:
        await play(again, Fuse(None))
        await play(again, Fuse(None))
        (session,) = await again.sessions(open_only=False)
        assert session.state is State.SETTLED, (fuse.blown_at, session)
        assert chain.received_by(driver.address) == PAID - DUE - fee, fuse.blown_at
        assert chain.received_by(neighbour.address) == SECOND - fee, fuse.blown_at
        assert chain.received_by(OPERATOR.payee.address) == DUE + fee, fuse.blown_at
        assert chain.held(place.deposit_address) == fee, fuse.blown_at
        async with again.database.begin() as unit:
            assert (await unit.held())[place.asset] == fee
            assert await unit.unsettled_deposits() == []
        return fuse.blown_at


async def test_a_crash_at_any_step_of_a_transfer_loses_nothing_and_pays_nothing_twice(
    tmp_path: Path,
) -> None:
    passed: list[str] = []
    async with open_world(tmp_path) as world:
        world.transitions.checkpoint = passed.append
        place = world.places[0]
        world.deposits.send(Driver("driver").address, place.deposit_address, PAID)
        world.deposits.send(Driver("neighbour").address, place.deposit_address, SECOND)
        await play(world, Fuse(None))
    steps = {name: passed.index(name) for name in passed if name.startswith(STEPS)}
    assert len(steps) == 13, steps
    for name, passes in steps.items():
        (directory := tmp_path / str(passes)).mkdir()
        assert await lives_until_done(directory, passes) == name


@pytest.mark.soak
async def test_a_crash_at_any_checkpoint_loses_nothing_and_pays_nothing_twice(tmp_path: Path) -> None:
    for passes in count():
        (directory := tmp_path / str(passes)).mkdir()
        if await lives_until_done(directory, passes) is None:
            break
    assert passes > 40

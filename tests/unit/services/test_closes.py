"""A tab ends at once where both sides agree, and only when nothing stands on it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.chain import Mined, Tab
from evmesh.domain.errors import IntegrityFailure, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.sessions import State
from evmesh.domain.signed_types import Exit, Voucher
from evmesh.services.closes import CLOSE_HOLDS, Closes
from evmesh.services.escrows import Escrows
from tests.drivers.clocks import HandClock
from tests.fakes.money import FakeRelay
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, open_world

PAYEE = OPERATOR.payee.address


class SlowRelay(FakeRelay):
    """Lets something happen while a close is on its way."""

    async def close(
        self, payer: Address, epoch: int, amount: int, agreed: bytes | None, deadline: int, key: str
    ) -> Mined:
        await self.meanwhile()
        return await super().close(payer, epoch, amount, agreed, deadline, key)

    async def meanwhile(self) -> None:
        raise NotImplementedError


def closes(world: World, relay: FakeRelay | None = None) -> Closes:
    own, flex = world.escrows
    escrows = world.escrows if relay is None else Escrows(replace(own, relay=relay), flex)
    return Closes(world.transitions, world.tabs, escrows, SIGNATURES, OPERATOR)


def leaving(driver: Driver, epoch: int = 0) -> bytes:
    return driver.sign(Exit(PAYEE, epoch))


async def test_a_settled_tab_is_closed_and_its_rest_is_back_at_once(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    before = world.escrow.balances.get(driver.address, 0)
    mined = await closes(world).close(driver.address, 0, 0, leaving(driver))
    assert await world.escrow.tab(PAYEE, driver.address) == Tab(0, 0, 0, 1)
    assert world.escrow.balances[driver.address] == before + 5_000_000
    assert await closes(world).close(driver.address, 0, 0, leaving(driver)) == mined


async def test_who_agrees_to_a_higher_total_pays_it(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    agreed = driver.sign(Voucher(PAYEE, 0, 2_000_000))
    await closes(world).close(driver.address, 0, 2_000_000, leaving(driver), agreed)
    assert world.escrow.earned == 2_000_000
    other = Driver("other")
    world.fund(other, 5_000_000)
    with pytest.raises(Refused, match=r"tab\.final_total_not_agreed"):
        await closes(world).close(other.address, 0, 1, leaving(other))


async def test_no_tab_is_closed_under_a_session(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    with pytest.raises(Refused) as refused:
        await closes(world).close(driver.address, 0, 0, leaving(driver))
    assert refused.value.code == "close.session_open"
    assert session.id.text in refused.value.what


async def test_nobody_else_closes_a_tab(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    thief = Driver("thief")
    for signature in (leaving(thief), leaving(driver, epoch=1)):
        with pytest.raises(IntegrityFailure, match=r"close\.wrong_signature"):
            await closes(world).close(driver.address, 0, 0, signature)
    agreed = thief.sign(Voucher(PAYEE, 0, 1_000_000))
    with pytest.raises(IntegrityFailure, match=r"close\.wrong_signature"):
        await closes(world).close(driver.address, 0, 1_000_000, leaving(driver), agreed)
    assert (await world.escrow.tab(PAYEE, driver.address)).ceiling == 5_000_000


async def test_less_than_is_spent_is_no_end(world: World, driver: Driver) -> None:
    world.escrow.tabs[driver.address] = Tab(1_000_000, 5_000_000, 0, 0)
    with pytest.raises(Refused, match=r"close\.other_amount"):
        await closes(world).close(driver.address, 0, 999_999, leaving(driver))


class Lost(FakeRelay):
    """Signs and sends a close, and no answer comes; the network has it, and mines it when told to."""

    sent: tuple[Address, int, int, bytes | None, int, str] | None = None

    async def close(
        self, payer: Address, epoch: int, amount: int, agreed: bytes | None, deadline: int, key: str
    ) -> Mined:
        self.sent = (payer, epoch, amount, agreed, deadline, key)
        raise Unavailable("chain.not_mined", "no block yet, or the node went away")

    async def mine(self) -> Mined:
        assert self.sent is not None
        return await super().close(*self.sent)


async def test_while_a_tab_is_being_closed_nothing_new_stands_on_it(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    asked: list[str] = []

    class Meanwhile(SlowRelay):
        async def meanwhile(self) -> None:
            other = await world.promised(Driver("other"), world.places[1])
            asked.append(other.state)
            with pytest.raises(Refused) as refused:
                await world.promised(driver, world.places[0])
            asked.append(refused.value.code)

    await closes(world, Meanwhile(world.escrow)).close(driver.address, 0, 0, leaving(driver))
    assert asked == [State.RESERVED, "tab.closing"]
    assert (await world.promised(driver, world.places[0])).terms.epoch == 1


async def test_no_energy_flows_on_a_tab_whose_close_may_still_be_mined(
    tmp_path: Path, driver: Driver
) -> None:
    """The driver charges, and has the close mined then: what it took could not be claimed."""
    clock = HandClock()
    async with open_world(tmp_path, clock=clock) as world:
        world.fund(driver, 5_000_000)
        relay = Lost(world.escrow)
        with pytest.raises(Unavailable):
            await closes(world, relay).close(driver.address, 0, 0, leaving(driver))
        escrow = world.escrow
    async with open_world(tmp_path, clock=clock, escrow=escrow) as world:  # also over a restart
        for moved in (timedelta(0), CLOSE_HOLDS):
            clock.move(moved)
            for escrow.away in (True, False):
                with pytest.raises(Refused, match=r"tab\.closing"):
                    await world.promised(driver, world.places[0])
        await relay.mine()
        world.fund(driver, 5_000_000)
        session = await world.pay(driver, await world.promised(driver, world.places[0]))
        assert (session.state, session.terms.epoch) == (State.STARTING, 1)


async def test_a_close_that_is_too_late_to_be_mined_keeps_nobody_away(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    relay = Lost(world.escrow)
    with pytest.raises(Unavailable):
        await closes(world, relay).close(driver.address, 0, 0, leaving(driver))
    await world.tabs.look(CONTRACTS.charge_tab, driver.address)
    world.clock.move(CLOSE_HOLDS + timedelta(seconds=1))
    world.escrow.away = True  # no block says how late it is
    with pytest.raises(Refused, match=r"tab\.closing"):
        await world.promised(driver, world.places[0])
    world.escrow.away = False
    assert (await world.promised(driver, world.places[0])).terms.epoch == 0
    with pytest.raises(Refused, match=r"tab\.close_too_late"):
        await relay.mine()


async def test_an_empty_tab_is_not_closed_and_keeps_nobody_away(world: World, driver: Driver) -> None:
    relay = Lost(world.escrow)
    with pytest.raises(Refused, match=r"tab\.nothing_to_close"):
        await closes(world, relay).close(driver.address, 0, 0, leaving(driver))
    assert relay.sent is None
    assert (await world.promised(driver, world.places[0])).state is State.RESERVED


async def test_an_older_word_takes_no_place_of_a_newer_one(world: World, driver: Driver) -> None:
    world.escrow.tabs[driver.address] = Tab(0, 5_000_000, 0, 1)
    relay = Lost(world.escrow)
    for epoch in (1, 0):
        with pytest.raises(Unavailable):
            await closes(world, relay).close(driver.address, epoch, 0, leaving(driver, epoch))
    with pytest.raises(Refused, match=r"tab\.closing"):
        await world.promised(driver, world.places[0])
    with pytest.raises(Refused, match=r"close\.other_epoch"):
        await closes(world, relay).close(driver.address, 2, 0, leaving(driver, 2))

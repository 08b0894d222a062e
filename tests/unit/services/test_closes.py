"""A tab ends at once where both sides agree, and only when nothing stands on it."""

import pytest

from evmesh.domain.chain import Mined, Tab
from evmesh.domain.errors import IntegrityFailure, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.sessions import State
from evmesh.domain.signed_types import Exit, Voucher
from evmesh.services.closes import Closes
from tests.fakes.money import FakeRelay
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, World

PAYEE = OPERATOR.payee.address


class SlowRelay(FakeRelay):
    """Lets something happen while a close is on its way."""

    async def close(self, payer: Address, epoch: int, amount: int, agreed: bytes | None, key: str) -> Mined:
        await self.meanwhile()
        return await super().close(payer, epoch, amount, agreed, key)

    async def meanwhile(self) -> None:
        raise NotImplementedError


def closes(world: World, relay: FakeRelay | None = None) -> Closes:
    return Closes(world.transitions, world.tabs, relay or FakeRelay(world.escrow), SIGNATURES, OPERATOR)


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


async def test_while_a_tab_is_being_closed_nothing_new_stands_on_it(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    seen: list[str] = []

    class Meanwhile(SlowRelay):
        async def meanwhile(self) -> None:
            for payer in (driver.address, Driver("other").address):
                try:
                    service.require_not_closing(payer)
                except Refused as refused:
                    seen.append(refused.code)

    service = closes(world, Meanwhile(world.escrow))
    await service.close(driver.address, 0, 0, leaving(driver))
    assert seen == ["tab.closing"]
    service.require_not_closing(driver.address)


async def test_a_tab_whose_close_may_be_on_its_way_is_not_relied_on_without_the_chain(
    world: World, driver: Driver
) -> None:
    world.fund(driver, 5_000_000)

    class Lost(SlowRelay):
        async def meanwhile(self) -> None:
            raise Unavailable("chain.not_mined", "sent, and the node went away")

    with pytest.raises(Unavailable):
        await closes(world, Lost(world.escrow)).close(driver.address, 0, 0, leaving(driver))
    async with world.transitions.read() as unit:
        remembered = await unit.tab_seen(PAYEE, driver.address)
    assert remembered is not None
    assert remembered.tab.exit_at > 0
    # with the chain there it is as the chain says, and can be used
    session = await world.promised(driver, world.places[0])
    assert session.state is State.RESERVED

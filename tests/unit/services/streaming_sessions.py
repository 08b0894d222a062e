"""Sessions that are paid as energy flows, and what their drivers send."""

from datetime import timedelta
from typing import Any

from evmesh.domain.ids import Address, ConnectorRef, StationId
from evmesh.domain.money import Price
from evmesh.domain.sessions import ChargeTerms, Session, Way
from evmesh.domain.streaming import StreamRules
from evmesh.domain.units import Wh
from tests.drivers.clocks import HandClock
from tests.fakes.world import RATING, Driver, World

RULES = StreamRules()
PER_100_WH = 35_000
"""What 100 Wh cost at the yard's price."""


def terms_of(**changes: Any) -> ChargeTerms:
    """Give terms of no session in particular."""
    now = HandClock().now()
    values: dict[str, Any] = {
        "payer": Address("0x" + "11" * 20),
        "connector": ConnectorRef(StationId("CP-1"), 1),
        "asset": 1,
        "arrival": now,
        "departure": now + timedelta(hours=4),
        "energy": Wh(5_000),
        "flexible": True,
        "price": Price(350_000),
        "budget": 1_750_000,
        "base": 0,
        "epoch": 0,
        "escrow": Address("0x" + "c7" * 20),
        "way": Way.STREAMING,
    }
    return ChargeTerms(**(values | changes))


async def send(world: World, driver: Driver, session: Session, units: int, **changes: Any) -> Session:
    """Send a voucher for base + `units`."""
    voucher = world.voucher(driver, session, **({"cumulative": session.terms.base + units} | changes))
    return await world.payments.voucher(session.id, *voucher)


async def streaming(world: World, driver: Driver, *, bay: int = 0, first: int = PER_100_WH) -> Session:
    """Go to a running charge whose first voucher was for `first` units."""
    session = await world.promised(driver, world.places[bay])
    world.fund(driver, session.terms.budget)
    session = await send(world, driver, session, first)
    assert (await world.begin(session)).accepted
    return await world.now(session)


async def meter(world: World, session: Session, wh: int) -> Session:
    """Let the meter say that so much was charged since the start, once it can have been."""
    assert session.started_at is not None
    possible_at = session.started_at + timedelta(seconds=-(-wh * 3_600 // RATING))
    world.clock.move(max(timedelta(0), possible_at - world.clock.now()))
    await world.measure(session, (session.meter_start or 0) + wh)
    return await world.now(session)

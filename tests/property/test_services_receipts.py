"""Whatever a station tells of a charge, the receipt that is written of it passes its own verifier."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evmesh.domain.receipt import Receipt
from evmesh.domain.stations import MeterSample
from evmesh.domain.units import Wh
from evmesh.verify.chain_facts import AssetEntry, ChainFacts
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, open_world

FIRST = 100_000
OF_THE_STATION = {"deadlines", "meter chain", "load curve", "energy", "cost", "due", "plan row", "power"}
"""Checks of what a station's words can make true or false."""


@dataclass(frozen=True)
class Said:
    """One word of the station: how long after the one before, its clock's error then, the growth it tells."""

    after_s: float
    clock_off_s: int
    grown: int


def said() -> st.SearchStrategy[Said]:
    pause = st.one_of(st.floats(0, 3), st.floats(0, 400), st.floats(0, 20_000))
    off = st.one_of(st.just(0), st.just(0), st.integers(-20, 20), st.integers(-9_000, 9_000))
    grown = st.one_of(st.integers(0, 200), st.integers(0, 2_000), st.integers(-300, 10**6))
    return st.builds(Said, pause, off, grown)


async def charge(world: World, start: Said, samples: Sequence[Said], stop: Said) -> bytes | None:
    """Play a charge; give its receipt, or None where the start was not accepted."""
    driver, place = Driver(), world.places[0]
    session = await world.pay(driver, await world.promised(driver, place, 10_000))
    world.clock.move(timedelta(seconds=min(start.after_s, 250)))
    answer = await world.begin(
        session, at=world.at(seconds=start.clock_off_s), meter_start=Wh(FIRST + start.grown)
    )
    if not answer.accepted:
        return None
    session, register = await world.now(session), FIRST + start.grown
    for one in samples:
        world.clock.move(timedelta(seconds=one.after_s))
        register += one.grown
        value = MeterSample(world.at(seconds=one.clock_off_s), Wh(register))
        await world.events.metered(session.terms.connector, session.transaction_id, [value])
    world.clock.move(timedelta(seconds=stop.after_s))
    at = world.at(seconds=stop.clock_off_s)
    await world.events.stopped(world.stop_of(await world.now(session), register + stop.grown, at=at))
    return await world.document(session, Receipt.FORMAT)


async def failed_checks(start: Said, samples: Sequence[Said], stop: Said) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        async with open_world(Path(directory)) as world:
            raw = await charge(world, start, samples, stop)
            place = world.places[0]
            if raw is None:
                return []
            entry = AssetEntry(
                OPERATOR.payee.address, place.connector.price, place.connector.rating, b"", None, "not asked"
            )
            facts = ChainFacts(CONTRACTS.chain_id, contracts_answer=True, asset=entry)
            checks = verify_receipt(raw, SIGNATURES, world.trust(), chain=facts).checks
            looked_at = {one.name for one in checks if one.status is not Status.NOT_CHECKED}
            assert looked_at >= OF_THE_STATION
            anchored = {"anchor", "settlement", "registered meter"}  # nothing is on a chain here
            return [
                f"{one.name}: {one.code}"
                for one in checks
                if one.status is Status.FAILED and one.name not in anchored
            ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said(), st.lists(said(), max_size=8), said())
@example(Said(0, 0, 0), [Said(1, 0, 200)] * 15, Said(5, 0, 0))
@example(Said(0, -5_000, 0), [Said(60, -5_000, 100)] * 3, Said(60, -5_000, 100))
@example(Said(0, 0, 0), [Said(60, 0, 100)], Said(7_200, -7_200, 9_000))
@example(Said(0, 0, 0), [Said(0.9, 0, 200)], Said(0.3, 0, 4))
def test_a_receipt_never_fails_its_own_verifier(start: Said, samples: list[Said], stop: Said) -> None:
    assert asyncio.run(failed_checks(start, samples, stop)) == []

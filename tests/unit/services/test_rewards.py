"""A reward is computed from registers only, and nothing is lost between the steps."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.ids import Address
from evmesh.domain.readings import Reading, ReadingContext
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward, reward_of
from evmesh.domain.units import Wh
from evmesh.services.rewards import SHARE_PER_MILLE, RewardBook, metered_by_step, register_at
from evmesh.services.supply import flat_tariff_supply
from evmesh.verify.followups import verify_reward
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, World, dear_morning

START = datetime(2026, 6, 1, 6, 7, 30, tzinfo=UTC)
SIGNER = Address("0x" + "2" * 40)


def reading(second: int, register: int) -> Reading:
    at = START + timedelta(seconds=second)
    return Reading("NL*EVM*E1", 1, at, Wh(register), ReadingContext.SAMPLE, None, SIGNER)


@st.composite
def stays(draw: st.DrawFn) -> list[Reading]:
    gaps = draw(st.lists(st.integers(1, 2_000), min_size=1, max_size=12))
    register = draw(st.integers(0, 10**6))
    readings, second = [reading(0, register)], 0
    for gap in gaps:
        second += gap
        register += draw(st.integers(0, 3_000))
        readings.append(reading(second, register))
    return readings


@given(stays())
def test_the_steps_of_a_stay_add_up_to_what_was_metered(readings: list[Reading]) -> None:
    by_step = metered_by_step(readings)
    assert sum(by_step) == readings[-1].register - readings[0].register
    assert all(wh >= 0 for wh in by_step)


@given(stays(), st.integers(-100, 30_000), st.integers(0, 30_000))
def test_an_interpolated_register_never_goes_back_and_meets_every_reading(
    readings: list[Reading], second: int, more: int
) -> None:
    at = START + timedelta(seconds=second)
    here, later = register_at(readings, at), register_at(readings, at + timedelta(seconds=more))
    assert readings[0].register <= here <= later <= readings[-1].register
    for one in readings:
        assert register_at(readings, one.at) == one.register


def test_energy_is_taken_to_flow_evenly_between_two_readings() -> None:
    # 06:07:30 to 06:22:30: half of it in each of two quarter hours
    assert metered_by_step([reading(0, 100), reading(900, 301)]) == (100, 101)
    # 450 s are left of the first quarter hour; a boundary belongs to the step that begins there
    assert metered_by_step([reading(0, 0), reading(450, 900), reading(900, 900)]) == (900, 0)


@pytest.fixture
def book(world: World) -> RewardBook:
    return RewardBook(world.directory, OPERATOR, flat_tariff_supply(dear_morning))


async def day(world: World, book: RewardBook, on: datetime | None = None) -> list[Reward]:
    midnight = datetime.combine((on or world.clock.now()).date(), time(), UTC)
    async with world.database.begin() as unit:
        return await book.day_so_far(unit, world.directory.groups["yard"], midnight)


async def charge(world: World, driver: Driver, bay: int, wait_h: int, flexible: bool = True) -> None:
    """Charge 3 kWh in half an hour after waiting: later is cheaper in this world."""
    session = await world.charging(driver, world.places[bay], 3_000, flexible=flexible)
    world.clock.move(timedelta(hours=wait_h))
    await world.measure(session, session.meter_start or 0)
    for part in (1, 2):
        world.clock.move(timedelta(minutes=15))
        await world.measure(session, (session.meter_start or 0) + 1_500 * part)
    await world.end(await world.now(session), (session.meter_start or 0) + 3_000)


async def test_who_waited_for_cheap_energy_earns_and_who_did_not_earns_nothing(
    world: World, book: RewardBook
) -> None:
    await charge(world, Driver("patient"), 0, wait_h=3)
    await charge(world, Driver("impatient"), 1, wait_h=0)
    patient, impatient = sorted(await day(world, book), key=lambda one: -one.value)
    assert patient.value > 0
    assert (impatient.value, impatient.reward) == (0, 0)
    assert patient.total == patient.value
    assert patient.reward == reward_of(patient.value, patient.total, patient.avoided, SHARE_PER_MILLE) > 0
    assert patient.reward * 1000 <= patient.avoided * SHARE_PER_MILLE // 1000 + 1000
    assert sum(patient.metered_wh) == sum(patient.baseline_wh) == 3_000
    assert (patient.cumulative, impatient.cumulative) == (patient.reward, 0)


async def test_who_opted_out_earns_nothing(world: World, book: RewardBook) -> None:
    await charge(world, Driver("opted out"), 0, wait_h=3, flexible=False)
    [reward] = await day(world, book)
    assert (reward.value, reward.reward) == (0, 0)


async def test_a_reward_holds_against_its_receipt(world: World, book: RewardBook) -> None:
    await charge(world, Driver("patient"), 0, wait_h=3)
    [reward] = await day(world, book)
    raw = world.receipts.sign(reward)
    session = (await world.sessions(open_only=False))[0]
    receipt = await world.document(session, Receipt.FORMAT)
    report = verify_reward(raw, SIGNATURES, receipt, world.trust())
    assert report.ok, report.failed()


async def test_a_day_without_sessions_earns_nothing(world: World, book: RewardBook) -> None:
    assert await day(world, book) == []
    await charge(world, Driver("patient"), 0, wait_h=1)
    assert await day(world, book, world.clock.now() - timedelta(days=1)) == []
    assert await day(world, book, world.clock.now() + timedelta(days=1)) == []


async def test_where_energy_is_paid_for_taking_it_the_tariff_is_still_the_cap(world: World) -> None:
    """λ is capped at the step's dearest tariff, below zero too."""
    supply = flat_tariff_supply(lambda at: -20_000 if at.hour < 8 else -50_000)
    book = RewardBook(world.directory, OPERATOR, supply)
    await charge(world, Driver("patient"), 0, wait_h=3)
    [reward] = await day(world, book)
    assert set(reward.step_price) <= {-20_000, -50_000}
    # 3 kWh moved from −2 ct to −5 ct: three times three cents
    assert reward.value == 3_000 * 30_000

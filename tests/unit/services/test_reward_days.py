"""A group's day that is over has final rewards, once, and they are paid."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from evmesh.domain.flex_voucher import EarnedReward, RewardDay, SignedFlexVoucher
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward, certificate_of
from evmesh.domain.sessions import Session, Way
from evmesh.services.reward_days import AFTER_MIDNIGHT, RewardDays
from evmesh.services.rewards import RewardBook
from evmesh.services.supply import flat_tariff_supply
from evmesh.verify.followups import verify_reward
from tests.fakes.flex import FakeFlex
from tests.fakes.world import (
    CONTRACTS,
    OPERATOR,
    SIGNATURES,
    Driver,
    World,
    dear_morning,
    open_world,
    running,
)

GROUP = "yard"


class Treasury:
    """The service under test, the token it pays with, and what both have come to."""

    def __init__(
        self, world: World, zone: str = "UTC", supply: Callable[[datetime], int] = dear_morning
    ) -> None:
        self.world = world
        self.token = FakeFlex(OPERATOR.payee.address, CONTRACTS.flex)
        self.days = RewardDays(
            world.transitions,
            world.clock,
            world.directory,
            RewardBook(world.directory, OPERATOR, flat_tariff_supply(supply)),
            world.receipts,
            OPERATOR,
            SIGNATURES,
            self.token,
            ZoneInfo(zone),
        )

    async def work(self) -> None:
        await self.days.close_days()
        await self.days.pay()

    async def day(self, day: str) -> RewardDay | None:
        async with self.world.database.begin() as unit:
            return await unit.final_day(GROUP, day)

    async def reward(self, session: Session) -> EarnedReward | None:
        async with self.world.database.begin() as unit:
            return (await unit.rewards_of([session.id])).get(session.id)

    async def has(self, driver: Driver) -> int:
        return (await self.token.made([driver.address]))[0]


@pytest.fixture
def treasury(world: World) -> Treasury:
    return Treasury(world)


async def charge(world: World, driver: Driver, bay: int, wait_h: int, flexible: bool = True) -> Session:
    """Charge 3 kWh in half an hour after waiting: later is cheaper in this world."""
    session = await world.charging(driver, world.places[bay], 3_000, flexible=flexible)
    first = session.meter_start or 0
    world.clock.move(timedelta(hours=wait_h))
    await world.measure(session, first)
    for part in (1, 2):
        world.clock.move(timedelta(minutes=15))
        await world.measure(session, first + 1_500 * part)
    return await world.end(await world.now(session), first + 3_000)


async def settle(world: World, session: Session) -> Session:
    """Let the claim through, so that the driver may ask again."""
    async with running(world.effects):
        return await world.settled(session)


def to_midnight(world: World, more: timedelta = AFTER_MIDNIGHT) -> str:
    """Go past the end of the day; give the day's name."""
    day = world.clock.now().date()
    ends = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    world.clock.move(ends + more - world.clock.now())
    return day.isoformat()


async def test_a_day_is_final_once_it_is_over_and_its_rewards_are_signed_and_paid(
    world: World, treasury: Treasury
) -> None:
    patient, impatient = Driver("patient"), Driver("impatient")
    waited = await charge(world, patient, 0, wait_h=3)
    at_once = await charge(world, impatient, 1, wait_h=0)
    await treasury.work()
    assert await treasury.reward(waited) is None  # the day is not over
    day = to_midnight(world)
    await treasury.work()
    final = await treasury.day(day)
    earned, nothing = await treasury.reward(waited), await treasury.reward(at_once)
    assert final is not None
    assert earned is not None
    assert nothing is not None
    assert (final.sessions, final.units) == (2, earned.units)
    assert earned.units > 0
    assert earned.is_made
    assert (nothing.units, nothing.voucher) == (0, None)
    assert await treasury.has(patient) == earned.units
    assert await treasury.has(impatient) == 0
    raw = await world.document(waited, Reward.FORMAT)
    voucher = await world.document(waited, SignedFlexVoucher.FORMAT)
    receipt = await world.document(waited, Receipt.FORMAT)
    report = verify_reward(raw, SIGNATURES, receipt, world.trust(), voucher)
    assert report.ok, report.failed()
    assert {check.name for check in report.checks if check.status.value == "not_checked"} == {"made"}
    assert earned.certificate == certificate_of(raw)


async def test_a_day_waits_for_the_charges_that_began_on_it(world: World, treasury: Treasury) -> None:
    session = await world.charging(Driver("long"), world.places[0], 3_000, departure=late(world))
    day = to_midnight(world, timedelta(hours=3))
    await treasury.work()
    assert await treasury.day(day) is None
    await world.end(await world.now(session), (session.meter_start or 0) + 3_000)
    await treasury.work()
    assert await treasury.day(day) is not None


async def test_one_long_stay_keeps_nobody_waiting_for_a_week(world: World, treasury: Treasury) -> None:
    waited = await charge(world, Driver("patient"), 0, wait_h=3)
    stays = int(world.at(days=6, hours=23).timestamp())
    parked = await world.charging(Driver("parked"), world.places[1], 2_000, departure=stays)
    day = to_midnight(world)
    to_midnight(world)
    to_midnight(world, timedelta(seconds=-1))
    await treasury.work()
    assert await treasury.day(day) is None
    world.clock.move(timedelta(seconds=1))
    await treasury.work()
    earned = await treasury.reward(waited)
    assert earned is not None
    assert earned.is_made
    await world.end(await world.now(parked), (parked.meter_start or 0) + 2_000)
    await treasury.work()
    assert await treasury.reward(parked) is None


def late(world: World) -> int:
    return int(world.at(hours=40).timestamp())


async def test_a_day_waits_for_a_car_that_may_have_begun_on_it(world: World, treasury: Treasury) -> None:
    await charge(world, Driver("patient"), 0, wait_h=3)
    day = to_midnight(world, timedelta(minutes=-2))
    await world.promised(Driver("late"), world.places[1], 3_000)
    world.clock.move(timedelta(minutes=2) + AFTER_MIDNIGHT)
    await treasury.work()
    assert await treasury.day(day) is None
    for session in await world.sessions():
        if session.state.value == "reserved":
            await world.stop_word(Driver("late"), session)
    await treasury.work()
    assert await treasury.day(day) is not None


async def test_the_local_midnight_counts(world: World) -> None:
    """The charge ends at 10:30 UTC: in Auckland that day is over at noon UTC."""
    await charge(world, Driver("patient"), 0, wait_h=3)
    auckland = Treasury(world, "Pacific/Auckland")
    local = world.clock.now().astimezone(ZoneInfo("Pacific/Auckland"))
    ends = datetime(local.year, local.month, local.day, tzinfo=local.tzinfo) + timedelta(days=1)
    world.clock.move(ends.astimezone(UTC) - world.clock.now() + AFTER_MIDNIGHT - timedelta(seconds=1))
    await auckland.work()
    assert await auckland.day(f"{local:%Y-%m-%d}") is None
    world.clock.move(timedelta(seconds=1))
    await auckland.work()
    assert await auckland.day(f"{local:%Y-%m-%d}") is not None


async def test_the_second_day_adds_to_the_first(world: World, treasury: Treasury) -> None:
    driver, totals = Driver("patient"), []
    for _ in range(2):
        session = await charge(world, driver, 0, wait_h=3)
        await settle(world, session)
        to_midnight(world, timedelta(hours=6))
        await treasury.work()
        reward = await treasury.reward(session)
        assert reward is not None
        totals.append(reward)
    first, second = totals
    assert second.cumulative == first.cumulative + second.units == first.units + second.units
    assert await treasury.has(driver) == second.cumulative


async def test_who_paid_by_transfer_drew_like_the_others_and_earns_nothing(
    world: World, treasury: Treasury
) -> None:
    session = await charge(world, Driver("stranger"), 0, wait_h=3)
    terms = replace(session.terms, way=Way.TRANSFER)
    async with world.transitions.begin() as work:
        await work.unit.touch_session(replace(session, terms=terms))
    assert (await world.now(session)).terms.way is Way.TRANSFER
    day = to_midnight(world)
    await treasury.work()
    assert await treasury.day(day) is not None
    assert await treasury.reward(session) is None


async def test_closing_a_day_again_changes_nothing(world: World, treasury: Treasury) -> None:
    session = await charge(world, Driver("patient"), 0, wait_h=3)
    to_midnight(world)
    await treasury.work()
    before = await world.document(session, Reward.FORMAT), await treasury.reward(session)
    for _ in range(3):
        await treasury.work()
    assert (await world.document(session, Reward.FORMAT), await treasury.reward(session)) == before
    assert treasury.token.sent == 1


async def test_an_answer_that_was_lost_pays_nobody_twice(world: World, treasury: Treasury) -> None:
    driver = Driver("patient")
    session = await charge(world, driver, 0, wait_h=3)
    to_midnight(world)
    treasury.token.lose_answers = 1
    await treasury.work()
    reward = await treasury.reward(session)
    assert reward is not None
    assert not reward.is_made
    await treasury.work()
    reward = await treasury.reward(session)
    assert reward is not None
    assert reward.is_made
    assert treasury.token.sent == 1
    assert await treasury.has(driver) == reward.units


async def test_what_the_cap_cut_is_paid_when_the_cap_has_moved(world: World, treasury: Treasury) -> None:
    driver = Driver("patient")
    session = await charge(world, driver, 0, wait_h=3)
    to_midnight(world)
    treasury.token.cap = 1
    await treasury.work()
    await treasury.work()
    assert await treasury.has(driver) == 1
    treasury.token.cap = 10**12
    await treasury.work()
    reward = await treasury.reward(session)
    assert reward is not None
    assert reward.is_made
    assert await treasury.has(driver) == reward.units


async def test_a_crash_before_the_commit_leaves_the_day_open(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def crash(point: str) -> None:
        if point == "reward_day:before_commit":
            raise Killed

    async with open_world(tmp_path) as world:
        session = await charge(world, Driver("patient"), 0, wait_h=3)
        day = to_midnight(world)
        treasury = Treasury(world)
        world.transitions.checkpoint = crash
        with pytest.raises(Killed):
            await treasury.work()
        assert await treasury.day(day) is None
        assert await treasury.reward(session) is None
        clock = world.clock
    async with open_world(tmp_path, clock=clock) as again:
        treasury = Treasury(again)
        await treasury.work()
        assert await treasury.day(day) is not None
        assert await treasury.reward(session) is not None

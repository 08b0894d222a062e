"""PV, battery and other equipment as telemetry tells them, and what planner and control make of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from evmesh.app.equipment_view import EquipmentView
from evmesh.domain.equipment import Equipment, LoadMeter, MeteredStep, Pv, StationaryBattery
from evmesh.domain.money import Price
from evmesh.domain.problem_shape import read_problem
from evmesh.domain.receipt import Receipt
from evmesh.domain.telemetry import Availability, TelemetryValue, ValueName
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import W, Wh
from evmesh.services.directory import Directory, Group
from evmesh.services.plan_in_force import step_start
from evmesh.services.rewards import RewardBook
from evmesh.services.source_feed import SourceFeed
from evmesh.services.sources import Sources
from evmesh.services.supply import flat_tariff_supply
from evmesh.verify.case import PlanFiles
from evmesh.verify.receipt import verify_receipt
from tests.drivers.clocks import HandClock
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, eventually, open_world, place, running

ROOF, HALL, CELLAR = "roof", "hall", "cellar"
STEP = timedelta(seconds=STEP_S)
FEED_IN, TARIFF = Price(80_000), 300_000
NOW = HandClock().now()


def group_with(*, headroom: W | None = None, bays: int = 4, capacity: int = 20_000) -> Group:
    """Give a yard whose other equipment takes 6 kW at most, with PV, its meter and a battery."""
    equipment = Equipment(
        Pv(ROOF, W(10_000), FEED_IN),
        LoadMeter(HALL, W(6_000), headroom),
        StationaryBattery(CELLAR, Wh(10_000), W(5_000), W(5_000), 900),
    )
    places = tuple(place(number, "yard") for number in range(1, bays + 1))
    return Group("yard", W(capacity), places, other=W(6_000), equipment=equipment)


class Microphone:
    """A bus with one reader, who has taken in everything that was said before `all_heard` returns."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[TelemetryValue] = asyncio.Queue()

    async def publish(self, value: TelemetryValue) -> None:
        self._said.put_nowait(value)

    async def values(self) -> AsyncIterator[TelemetryValue]:
        while True:
            value = await self._said.get()
            yield value
            self._said.task_done()

    async def all_heard(self) -> None:
        await asyncio.wait_for(self._said.join(), 10)


class Bench:
    """Sources of one group, and a clock in hand."""

    def __init__(self, group: Group) -> None:
        self.clock = HandClock()
        self.group = group
        self.sources = Sources(Directory((group,)), self.clock)

    def tell(self, name: str, value: ValueName, number: int | str | None) -> list[MeteredStep]:
        return self.sources.heard(TelemetryValue(name, value, self.clock.now(), number))

    def sun(self, power: int | None) -> list[MeteredStep]:
        return self.tell(ROOF, ValueName.GENERATED_POWER, power)

    def hall(self, power: int | None) -> list[MeteredStep]:
        return self.tell(HALL, ValueName.POWER_OUTPUT, power)

    def surplus(self, begin: datetime) -> int:
        ((wh, earns),) = self.sources.surplus(self.group, begin)
        assert earns == FEED_IN
        return wh

    def to_boundary(self) -> None:
        self.clock.move(step_start(self.clock.now()) + STEP - self.clock.now())


@pytest.fixture
def bench() -> Bench:
    made = Bench(group_with())
    made.to_boundary()
    return made


def test_a_quarter_hour_is_the_energy_of_the_powers_that_were_told(bench: Bench) -> None:
    bench.sun(4_000)
    bench.clock.move(timedelta(minutes=5))
    bench.sun(1_000)
    bench.clock.move(timedelta(minutes=10))
    (step,) = bench.sources.pass_time()
    assert step == MeteredStep(ROOF, bench.clock.now() - STEP, Wh(500))


def test_a_quarter_hour_of_which_too_little_was_heard_is_not_kept(bench: Bench) -> None:
    bench.sun(4_000)
    bench.clock.move(timedelta(minutes=7))
    bench.sun(None)
    bench.clock.move(timedelta(minutes=8))
    assert bench.sources.pass_time() == []


def test_an_unchanged_power_counts_through_several_quarter_hours(bench: Bench) -> None:
    bench.hall(2_000)
    bench.clock.move(3 * STEP)
    assert [step.wh for step in bench.sources.pass_time()] == [500, 500, 500]


def test_what_the_equipment_does_is_unknown_while_nobody_is_heard_and_known_again_afterwards(
    bench: Bench,
) -> None:
    bench.hall(2_000)
    bench.tell(CELLAR, ValueName.STATE_OF_CHARGE, 40)
    assert bench.sources.seen(bench.group).other == 2_000
    bench.sources.line(is_up=False)
    assert bench.sources.seen(bench.group).other is None
    assert bench.sources.seen(bench.group).soc_percent is None
    bench.sources.line(is_up=True)
    assert bench.sources.seen(bench.group).other == 2_000
    bench.tell(HALL, ValueName.AVAILABILITY, Availability.OFFLINE)
    assert bench.sources.seen(bench.group).other is None
    bench.tell(HALL, ValueName.AVAILABILITY, Availability.ONLINE)
    assert bench.sources.seen(bench.group).other == 2_000
    assert bench.sources.seen(bench.group).soc_percent == 40


@pytest.mark.parametrize("nonsense", [10_000_001, -(2**62), "much", None])
def test_what_is_no_power_is_not_known(bench: Bench, nonsense: int | str | None) -> None:
    bench.sun(5_000)
    bench.tell(ROOF, ValueName.GENERATED_POWER, nonsense)
    assert bench.sources.seen(bench.group).pv is None
    bench.tell(CELLAR, ValueName.STATE_OF_CHARGE, 40)
    bench.tell(CELLAR, ValueName.STATE_OF_CHARGE, nonsense)
    assert bench.sources.seen(bench.group).soc_percent is None


def test_what_others_say_is_none_of_its_business(bench: Bench) -> None:
    assert bench.tell("bay-1", ValueName.POWER_OUTPUT, 7_000) == []
    bench.tell(ROOF, ValueName.POWER_OUTPUT, 7_000)
    seen = bench.sources.seen(bench.group)
    assert (seen.pv, seen.other, seen.battery) == (None, None, None)


def test_a_promise_counts_with_what_the_site_file_says_or_with_more_where_more_was_measured(
    bench: Bench,
) -> None:
    assert bench.sources.to_promise(bench.group).other == 6_000
    bench.hall(1_000)
    assert bench.sources.to_promise(bench.group).other == 6_000
    bench.hall(7_500)
    assert bench.sources.to_promise(bench.group).other == 7_500
    bench.clock.move(3 * STEP)
    bench.sources.remember(bench.hall(500))
    assert bench.sources.to_promise(bench.group).other == 7_500
    bench.clock.move(timedelta(days=8))
    assert bench.sources.to_promise(bench.group).other == 6_000


def test_one_reading_that_is_a_lie_holds_no_promise_back_once_it_is_over(bench: Bench) -> None:
    """It is possible, so nothing shows that it is wrong; but it is in two quarter-hours in a row at most."""
    bench.hall(500)
    bench.clock.move(timedelta(minutes=10))
    bench.hall(20_000)
    assert bench.sources.at_present(bench.group).other == 20_000  # limits believe it at once
    bench.clock.move(timedelta(minutes=12))
    bench.sources.remember(bench.hall(500))
    bench.clock.move(2 * STEP)
    bench.sources.remember(bench.sources.pass_time())
    assert max(one.wh for one in bench.sources.kept()) > 6_000 // 4
    assert bench.sources.to_promise(bench.group).other == 6_000
    bench.hall(9_000)
    bench.clock.move(4 * STEP)
    bench.sources.remember(bench.hall(500))
    assert bench.sources.to_promise(bench.group).other == 9_000  # that was no single reading


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        (HALL, ValueName.POWER_OUTPUT, 2 * 20_000 + 10_000 + 5_000),
        (ROOF, ValueName.GENERATED_POWER, 12_500),
        (CELLAR, ValueName.BATTERY_POWER, 6_250),
    ],
)
def test_a_reading_beyond_what_device_and_cable_are_made_for_is_set_aside_and_said(
    bench: Bench, name: str, value: ValueName, most: int
) -> None:
    def power() -> W | None:
        seen = bench.sources.seen(bench.group)
        return {HALL: seen.other, ROOF: seen.pv, CELLAR: seen.battery}[name]

    view = EquipmentView(bench.sources)
    flags = {HALL: "other", ROOF: "pv", CELLAR: "battery"}
    for sign in (1, -1):
        with capture_logs() as said:
            bench.tell(name, value, sign * (most + 1))
            bench.tell(name, value, sign * (most + 2))
        assert power() is None
        assert bench.sources.at_present(bench.group).others >= 6_000
        assert [(one["event"], one["name"], one["most_w"]) for one in said] == [
            ("source.beyond_rating", name, most)
        ]
        shown = view.of(bench.group)
        assert shown is not None
        assert shown[flags[name]]["beyond_rating"]
        bench.tell(name, value, sign * most)
        assert power() == sign * most
        shown = view.of(bench.group)
        assert shown is not None
        assert not shown[flags[name]]["beyond_rating"]


def test_limits_keep_free_what_other_equipment_may_take_before_they_could_follow() -> None:
    careful, bold = Bench(group_with()), Bench(group_with(headroom=W(1_500)))
    for one in (careful, bold):
        assert one.sources.at_present(one.group).other == 6_000  # not heard yet
        one.hall(2_000)
    assert careful.sources.at_present(careful.group).other == 6_000
    assert bold.sources.at_present(bold.group).other == 3_500
    bold.hall(5_500)
    assert bold.sources.at_present(bold.group).other == 6_000
    for one in (careful, bold):
        one.hall(6_400)
        assert one.sources.at_present(one.group).other == 6_400


def test_after_a_restart_a_battery_that_is_not_heard_counts_with_all_that_it_may_still_be_asked_to_take(
    bench: Bench,
) -> None:
    again = Sources(Directory((bench.group,)), bench.clock)
    again.begin()
    assert again.at_present(bench.group).other == 6_000 + 5_000
    again.heard(TelemetryValue(CELLAR, ValueName.BATTERY_POWER, bench.clock.now(), 1_200))
    assert again.at_present(bench.group).other == 6_000 + 1_200
    again.line(is_up=False)
    assert again.at_present(bench.group).other == 6_000 + 5_000
    bench.clock.move(timedelta(minutes=3))
    assert again.at_present(bench.group).other == 6_000  # it goes its own way now


async def test_the_feed_of_a_new_process_counts_with_what_the_last_one_may_have_asked(tmp_path: Path) -> None:
    async with open_world(tmp_path, wired=group_with()) as world:
        again = Sources(world.directory, world.clock)
        await SourceFeed(world.transitions, world.clock, Microphone(), again, lambda: True).load()
        assert again.at_present(world.directory.groups["yard"]).other == 6_000 + 5_000


def test_the_surplus_is_what_pv_has_left_after_other_equipment(bench: Bench) -> None:
    begin = bench.clock.now()
    bench.sun(8_000)
    assert bench.surplus(begin) == 2_000 - 1_500  # the hall's meter is silent: it may take 6 kW
    bench.hall(2_000)
    assert bench.surplus(begin) == 1_499  # rounded down for the driver's and for the operator's good
    bench.clock.move(STEP)
    bench.sources.remember(bench.sources.pass_time())
    assert bench.surplus(begin) == 1_499
    assert bench.surplus(begin - STEP) == 0  # nobody heard it


def test_a_passing_cloud_moves_the_present_surplus_by_its_mean_over_five_minutes(bench: Bench) -> None:
    bench.hall(0)
    bench.sun(8_000)
    bench.clock.move(timedelta(minutes=6))
    bench.sun(4_000)
    assert bench.surplus(step_start(bench.clock.now())) == 1_999
    bench.clock.move(timedelta(minutes=1))
    assert bench.surplus(step_start(bench.clock.now())) == 1_799


def test_tomorrow_is_expected_to_be_like_the_last_days(bench: Bench) -> None:
    noon = bench.clock.now() + 20 * STEP
    history = [
        MeteredStep(name, noon - timedelta(days=days), Wh(wh))
        for days in (1, 2, 3)
        for name, wh in ((ROOF, 1_000 + 100 * days), (HALL, 100 * days))
    ]
    bench.sources.remember(history)
    bench.sun(0)
    assert bench.surplus(noon) == 1_200 - 301  # the mean of the sun, the most of the hall


def test_the_sun_makes_a_part_of_the_supply_cheaper_and_the_whole_no_larger(bench: Bench) -> None:
    grid = TimeGrid(bench.clock.now(), STEP_S, 1)
    supply = flat_tariff_supply(lambda _: TARIFF, None, bench.sources)
    (plain,) = supply(bench.group, grid)
    bench.sun(8_000)
    bench.hall(0)
    cheap, rest = supply(bench.group, grid)
    assert (cheap.cap_wh, cheap.price, rest.price) == (1_999, FEED_IN, TARIFF)
    assert cheap.cap_wh + rest.cap_wh == plain.cap_wh


def test_where_the_grid_is_cheaper_than_what_pv_earns_there_is_one_price(bench: Bench) -> None:
    bench.sun(8_000)
    bench.hall(0)
    supply = flat_tariff_supply(lambda _: -20_000, None, bench.sources)
    assert len(supply(bench.group, TimeGrid(bench.clock.now(), STEP_S, 1))) == 1


async def test_quarter_hours_outlast_a_restart(tmp_path: Path) -> None:
    async with open_world(tmp_path, wired=group_with()) as world:
        clock, bus = world.clock, Microphone()
        feed = SourceFeed(world.transitions, clock, bus, world.sources, lambda: True)
        clock.move(step_start(clock.now()) + STEP - clock.now())

        async def kept() -> Sequence[MeteredStep]:
            async with world.transitions.read() as unit:
                return await unit.steps(clock.now() - timedelta(days=1))

        async def is_kept() -> bool:
            return bool(await kept())

        async with running(feed):
            await bus.publish(TelemetryValue(HALL, ValueName.POWER_OUTPUT, clock.now(), 3_000))
            await bus.all_heard()
            clock.move(STEP)
            await bus.publish(TelemetryValue(HALL, ValueName.POWER_OUTPUT, clock.now(), 9_000))
            await eventually(is_kept)
        again = Sources(world.directory, clock)
        later = SourceFeed(world.transitions, clock, bus, again, lambda: True)
        await later.load()
        assert [(one.name, one.wh) for one in await kept()] == [(HALL, 750)]
        (noted,) = world.sources.kept()
        assert again.kept() == (noted,)


async def test_a_car_charges_now_rather_than_in_a_cheap_hour_while_the_sun_is_cheaper_still(
    tmp_path: Path,
) -> None:
    """The plan has it later: the tariff falls, and no sun was expected."""

    def price(at: datetime) -> int:
        return TARIFF if at < NOW + timedelta(hours=1) else TARIFF // 2

    async def limit_after(sun: int) -> W | None:
        directory = tmp_path / str(sun)
        directory.mkdir()
        async with open_world(directory, price_at=price, wired=group_with()) as world:
            session = await world.charging(Driver(), world.places[0])
            group = world.directory.groups["yard"]
            await world.control.once(group, has_moved=True)
            for name, value, power in (
                (ROOF, ValueName.GENERATED_POWER, sun),
                (HALL, ValueName.POWER_OUTPUT, 0),
            ):
                world.sources.heard(TelemetryValue(name, value, world.clock.now(), power))
            await world.control.once(group, has_moved=False)
            return world.stations.limits[session.terms.connector].limit_at(world.clock.now())

    assert await limit_after(0) == 0
    assert (await limit_after(9_000) or 0) > 1_380


async def test_cars_give_way_to_other_equipment_that_takes_more_than_the_site_file_says(
    tmp_path: Path,
) -> None:
    group = group_with(capacity=20_000)
    async with open_world(tmp_path, price_at=lambda _: TARIFF, wired=group) as world:
        cars = [
            await world.charging(Driver(f"driver {n}"), world.places[n], 20_000, flexible=False)
            for n in range(2)
        ]
        drawn = []
        for hall in (0, 6_000, 9_000, 13_000, 19_000):
            world.sources.heard(TelemetryValue(HALL, ValueName.POWER_OUTPUT, world.clock.now(), hall))
            await world.control.once(world.directory.groups["yard"], has_moved=hall == 0)
            now = world.clock.now()
            limits = [world.stations.limits[car.terms.connector].limit_at(now) or 0 for car in cars]
            drawn.append(sum(limits))
            assert sum(limits) <= 20_000 - max(6_000, hall)
        assert drawn[0] == drawn[1] > drawn[3] > drawn[4] == 0


async def test_what_other_equipment_takes_is_taken_off_once_where_the_rest_of_a_step_is_handed_out(
    tmp_path: Path,
) -> None:
    group = group_with(capacity=14_000, bays=2)  # 8 kW beside the 6 kW
    async with open_world(tmp_path, price_at=lambda _: TARIFF, wired=group) as world:
        world.clock.move(timedelta(minutes=2))
        session = await world.charging(Driver(), world.places[0], 4_000, flexible=False)
        await world.control.once(world.directory.groups["yard"], has_moved=True)
        assert (world.stations.limits[session.terms.connector].limit_at(world.clock.now()) or 0) > 7_000


async def test_a_receipt_holds_with_the_plan_of_a_promise_that_was_given_in_the_sun(tmp_path: Path) -> None:
    async with open_world(tmp_path, price_at=lambda _: TARIFF, wired=group_with()) as world:
        for name, value, number in (
            (ROOF, ValueName.GENERATED_POWER, 9_000),
            (HALL, ValueName.POWER_OUTPUT, 1_000),
            (CELLAR, ValueName.STATE_OF_CHARGE, 80),
        ):
            world.sources.heard(TelemetryValue(name, value, world.clock.now(), number))
        driver = Driver()
        session = await world.charging(driver, world.places[0], 3_000)
        await world.control.once(world.directory.groups["yard"], has_moved=True)
        first = session.meter_start or 0
        for part in (1, 2, 3):
            world.clock.move(timedelta(minutes=10))
            await world.measure(session, first + part * 900)
        done = await world.end(session, first + 2_700)
        raw = await world.document(done, Receipt.FORMAT)
        async with world.database.begin() as unit:
            stored = await unit.plan_of(session.plan_sha256)
        assert stored is not None
        assert {one.price for one in read_problem(stored.problem).supply} == {FEED_IN, TARIFF}
        files = PlanFiles(stored.problem, stored.schedule)
        report = verify_receipt(raw, SIGNATURES, world.trust(), files)
        assert report.ok, report.failed()


async def test_who_waited_for_the_sun_earns_by_what_the_sun_really_gave(tmp_path: Path) -> None:
    """At one tariff nothing is avoided by waiting; with the sun that was metered it is."""
    group = group_with()
    midnight = datetime.combine(NOW.date(), datetime.min.time(), UTC)
    found = []
    for sun in (0, 2_000):
        directory = tmp_path / str(sun)
        directory.mkdir()
        async with open_world(directory, price_at=lambda _: TARIFF, wired=group) as world:
            book = RewardBook(world.directory, OPERATOR, world.supply)
            session = await world.charging(Driver(), world.places[0], 3_000)
            world.clock.move(timedelta(hours=2))
            await world.measure(session, session.meter_start or 0)
            for part in (1, 2):
                world.clock.move(timedelta(minutes=15))
                await world.measure(session, (session.meter_start or 0) + 1_500 * part)
            await world.end(await world.now(session), (session.meter_start or 0) + 3_000)
            first = step_start(NOW + timedelta(hours=2))
            world.sources.remember(
                [
                    MeteredStep(name, first + step * STEP, Wh(wh))
                    for step in range(-1, 4)
                    for name, wh in ((ROOF, sun), (HALL, 100))
                ]
            )
            async with world.database.begin() as unit:
                found += await book.day_so_far(unit, world.directory.groups["yard"], midnight)
    dark, sunny = found
    assert dark.avoided == 0
    assert sunny.avoided == 3_000 * (TARIFF - FEED_IN)

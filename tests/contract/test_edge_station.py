"""A station from parts, on real lines, against whoever hears it: to the services it is like any other."""

from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import ConnectorStatus, LimitPeriod, LimitProfile, StoppedTransaction
from evmesh.domain.units import W
from evmesh.edge.led import Colour
from evmesh.sim.modbus_server import Trouble
from evmesh.sim.smartevse2 import Nuisance
from tests.brokers import running
from tests.contract.patient_loop import PatientLoop
from tests.drivers.clocks import HandClock
from tests.drivers.recording_events import RecordingEvents
from tests.drivers.station_bench import (
    REF,
    STATION,
    TAG,
    Bench,
    Where,
    bench,
    config,
    hardware,
    station,
    until,
)

LOOP = PatientLoop


def stop_of(run: Bench, transaction: int) -> StoppedTransaction:
    return run.events.stops[transaction]


async def test_a_charge_from_plug_to_metered_stop_and_the_lamp_follows(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        await until(lambda: run.has.shows(Colour.YELLOW), "yellow while idle")
        run.events.funded.add(TAG)
        await run.station.set_default_limit(REF, W(11_040))
        run.has.pilot.change("B")
        await until(lambda: run.has.shows(Colour.GREEN), "green with a car")
        await run.until_told(ConnectorStatus.PREPARING)
        assert run.has.relay.coils == [False] * 4
        assert await run.station.remote_start(REF, TAG)
        await until(lambda: run.has.shows(Colour.LIGHT_BLUE), "light blue when a current is offered")
        assert run.has.is_on
        assert run.has.controller.numbers["MAX"] == 16
        ((start, transaction),) = run.events.transactions.items()
        assert (start.connector, start.id_tag, start.meter_start) == (REF, TAG, 70_000)

        run.has.pilot.change("C")
        run.has.flow(2_000)
        await until(lambda: run.has.shows(Colour.DARK_BLUE), "dark blue while energy flows")
        await run.until_told(ConnectorStatus.CHARGING)
        run.clock.move(timedelta(minutes=1))
        await until(lambda: bool(run.events.samples), "a sample")
        connector, sampled, sample = run.events.samples[-1]
        assert (connector, sampled, sample.register, sample.power) == (REF, transaction, 72_000, 11_040)
        assert sample.offered == 16_000

        assert await run.station.remote_stop(STATION, transaction)
        await until(lambda: not run.has.is_on, "off")
        run.has.flow(7, power_w=0)  # what flowed until the contactor was open
        await run.until_stopped(transaction)
        stop = stop_of(run, transaction)
        assert (stop.meter_stop, stop.reason) == (72_007, "Remote")
        await run.until_told(ConnectorStatus.FINISHING)
        await until(lambda: run.has.shows(Colour.GREEN), "green again")
        run.has.pilot.change("A")
        await run.until_told(ConnectorStatus.AVAILABLE)
        await until(lambda: run.has.shows(Colour.YELLOW), "yellow again")


async def test_nothing_flows_before_the_platform_has_accepted_the_start(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        run.events.away.add("started")
        await run.station.set_default_limit(REF, W(11_040))
        await run.station.remote_start(REF, TAG)
        run.has.pilot.change("B")
        await until(lambda: run.events.names().count("started") > 1, "asked twice")
        assert not run.has.is_on
        run.events.away.clear()  # and TAG is not funded
        await until(lambda: bool(run.events.stops), "the end")
        assert not run.has.is_on
        (stop,) = run.events.stops.values()
        assert (stop.meter_stop, stop.reason) == (70_000, "DeAuthorized")
        assert len(run.events.transactions) == 1


async def test_who_unplugs_ends_the_charge(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        transaction = await run.charging()
        run.has.flow(500)
        run.has.pilot.change("A")
        run.has.meter.power_w = 0
        await run.until_stopped(transaction)
        assert (stop_of(run, transaction).meter_stop, stop_of(run, transaction).reason) == (
            70_500,
            "EVDisconnected",
        )
        await run.until_told(ConnectorStatus.AVAILABLE)


async def test_limits_are_followed_over_time_and_after_them_the_default(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        transaction = await run.charging()
        now = run.clock.now()
        periods = (LimitPeriod(0, W(6_900)), LimitPeriod(60, W(0)), LimitPeriod(120, W(22_080)))
        profile = LimitProfile(now, now + timedelta(seconds=180), periods, "test")
        assert await run.station.set_limit(REF, transaction, profile)
        await until(lambda: run.has.controller.numbers["MAX"] == 10, "10 A")
        run.clock.move(timedelta(seconds=60))
        await until(lambda: not run.has.is_on, "a pause")
        await run.until_told(ConnectorStatus.SUSPENDED_EVSE)
        run.clock.move(timedelta(seconds=60))
        await until(lambda: run.has.is_on and run.has.controller.numbers["MAX"] == 32, "32 A")
        run.clock.move(timedelta(seconds=60))
        await until(lambda: run.has.controller.numbers["MAX"] == 16, "the default")


async def test_without_any_limit_the_safe_current_holds_which_such_a_controller_cannot_offer(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as run:
        run.events.funded.add(TAG)
        await run.station.remote_start(REF, TAG)
        run.has.pilot.change("B")
        await run.until_told(ConnectorStatus.SUSPENDED_EVSE)
        assert not run.has.is_on


@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.TRUNCATED, Trouble.EXCEPTION, None])
async def test_while_the_meter_is_not_sure_nothing_is_billed_and_then_the_charge_ends(
    tmp_path: Path, trouble: Trouble | None
) -> None:
    async with bench(tmp_path, config(patience_s=1.0)) as run:
        transaction = await run.charging()
        run.has.flow(300)
        await run.until_told(ConnectorStatus.CHARGING)
        if trouble is None:
            run.has.meter.energy_wh = 60_000  # another meter, or one that has forgotten
        else:
            run.has.meter_line.trouble = trouble
        await run.until_told(ConnectorStatus.FAULTED)
        await run.until_stopped(transaction)
        assert (stop_of(run, transaction).meter_stop, stop_of(run, transaction).reason) == (70_300, "Other")
        assert not run.has.is_on


async def swap_meter(run: Bench, energy_wh: int, serial: int | None) -> None:
    """Put another meter in; meanwhile nobody answers on its line."""
    run.has.meter_line.trouble = Trouble.SILENT
    asked = run.has.meter_line.asked
    await until(lambda: run.has.meter_line.asked > asked, "a look without a meter")
    run.has.meter.energy_wh, run.has.meter.serial, run.has.meter.power_w = energy_wh, serial, 0
    run.has.meter_line.trouble = Trouble.NONE


@pytest.mark.parametrize("register", [120, 9_000_000])
async def test_a_meter_that_is_swapped_in_a_charge_ends_it_at_its_last_register_and_the_next_begins_anew(
    tmp_path: Path, register: int
) -> None:
    async with bench(tmp_path, config(patience_s=20)) as run:
        run.has.meter.serial = 4_711
        run.has.meter_line.trouble = Trouble.SILENT  # so that it is asked who it is
        asked = run.has.meter_line.asked
        await until(lambda: run.has.meter_line.asked > asked)
        run.has.meter_line.trouble = Trouble.NONE
        transaction = await run.charging()
        run.has.flow(300)
        await run.until_told(ConnectorStatus.CHARGING)
        await swap_meter(run, register, 4_712)
        await run.until_stopped(transaction)
        assert (stop_of(run, transaction).meter_stop, stop_of(run, transaction).reason) == (70_300, "Other")
        assert not run.has.is_on
        run.has.pilot.change("A")
        await run.until_told(ConnectorStatus.AVAILABLE)
        await run.charging()
        assert list(run.events.transactions)[-1].meter_start == register


async def test_a_meter_that_is_swapped_while_nobody_drives_the_station_ends_its_charge_as_it_was_kept(
    tmp_path: Path,
) -> None:
    events, clock = RecordingEvents(), HandClock()
    async with hardware(tmp_path) as has:
        where = Where(
            has.pilot.path, has.meter_port, has.relay_port, has.lamp.directory, tmp_path / "station.db"
        )
        has.meter.serial = 4_711
        async with station(where, config(), events, clock) as one, running(one):
            run = Bench(has, one, events, clock)
            await run.until_told(ConnectorStatus.UNAVAILABLE)
            has.pilot.change("A")
            await run.until_told(ConnectorStatus.AVAILABLE)
            transaction = await run.charging()
            has.flow(300)
            await run.until_told(ConnectorStatus.CHARGING)
            clock.move(timedelta(minutes=1))
            await until(lambda: any(sample.register == 70_300 for _, _, sample in events.samples), "a sample")
        has.meter.energy_wh, has.meter.serial, has.meter.power_w = 9_000_000, 4_712, 0
        async with station(where, config(), events, clock) as again, running(again):
            await until(lambda: transaction in events.stops, "the end")
    assert events.stops[transaction].meter_stop == 70_300


async def test_without_a_serial_number_a_person_says_that_the_meter_is_another_one(tmp_path: Path) -> None:
    async with bench(tmp_path, config(patience_s=20)) as run:
        transaction = await run.charging()
        run.has.flow(300)
        await run.until_told(ConnectorStatus.CHARGING)
        await swap_meter(run, 120, None)
        assert await run.station.take_new_meter()
        await run.until_stopped(transaction)
        assert stop_of(run, transaction).meter_stop == 70_300
        assert not await run.station.take_new_meter(), "no charge ends by that any more"
        run.has.pilot.change("A")
        await run.until_told(ConnectorStatus.AVAILABLE)
        await run.charging()
        assert list(run.events.transactions)[-1].meter_start == 120


@pytest.mark.parametrize("nuisance", [Nuisance.SILENT, Nuisance.CUT, Nuisance.NOISE])
async def test_a_controller_that_is_lost_ends_the_charge_by_the_contactor(
    tmp_path: Path, nuisance: Nuisance
) -> None:
    async with bench(tmp_path, config(patience_s=1.0)) as run:
        transaction = await run.charging()
        run.has.flow(300)
        await run.until_told(ConnectorStatus.CHARGING)
        run.has.controller.nuisance = nuisance
        await until(lambda: not run.has.is_on, "off")
        run.has.meter.power_w = 0
        await run.until_stopped(transaction)
        assert (stop_of(run, transaction).meter_stop, stop_of(run, transaction).reason) == (70_300, "Other")
        await run.until_told(ConnectorStatus.FAULTED)
        await until(lambda: run.has.shows(Colour.RED), "red")
        run.has.controller.nuisance = Nuisance.NONE
        await run.until_told(ConnectorStatus.UNAVAILABLE)  # it may have changed unheard
        run.has.pilot.change("B")
        await run.until_told(ConnectorStatus.FINISHING)


async def test_a_limit_that_a_lost_controller_cannot_follow_is_kept_by_the_contactor(tmp_path: Path) -> None:
    async with bench(tmp_path, config(patience_s=30.0)) as run:
        transaction = await run.charging()
        run.has.controller.nuisance = Nuisance.SILENT
        now = run.clock.now()
        lower = LimitProfile(now, now + timedelta(hours=1), (LimitPeriod(0, W(7_000)),), "test")
        await run.station.set_limit(REF, transaction, lower)
        await until(lambda: not run.has.is_on, "off")
        assert transaction not in run.events.stops


async def test_parts_that_were_away_are_told_again_what_holds(tmp_path: Path) -> None:
    async with bench(tmp_path, config(patience_s=30)) as run:
        await run.charging()
        await until(lambda: run.has.controller.numbers["MAX"] == 16, "the limit")
        run.has.controller.nuisance = Nuisance.SILENT
        await until(lambda: run.events.samples == [] and run.has.controller.nuisance is Nuisance.SILENT)
        asked = run.has.meter_line.asked
        await until(lambda: run.has.meter_line.asked > asked + 4, "looks without the controller")
        run.has.relay.coils[0] = False  # all of them lost power, and start anew
        run.has.controller.numbers["MAX"] = 32
        run.has.controller.nuisance = Nuisance.NONE
        await until(lambda: run.has.is_on and run.has.controller.numbers["MAX"] == 16, "told again")


async def test_a_station_whose_parts_nobody_has_seen_is_away_until_it_can_say_what_is_wrong(
    tmp_path: Path,
) -> None:
    events = RecordingEvents()
    async with hardware(tmp_path) as has:
        where = Where(
            str(tmp_path / "no-line"), has.meter_port, has.relay_port, has.lamp.directory, tmp_path / "s.db"
        )
        rule = config(patience_s=1.5)
        async with station(where, rule, events, HandClock()) as one, running(one):
            await until(lambda: has.meter_line.asked > 10, "looks")
            assert not one.is_connected(STATION)
            assert events.heard == []
            await until(lambda: one.is_connected(STATION), "connected at last")
            await until(lambda: events.heard[-1][0] == "status", "a status")
            assert events.heard[-1][1][1] is ConnectorStatus.FAULTED  # type: ignore[index]


async def test_a_fault_on_the_pilot_is_red_and_opens_the_contactor(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        transaction = await run.charging()
        run.has.pilot.change("F")
        await run.until_stopped(transaction)
        assert not run.has.is_on
        assert not await run.station.remote_start(REF, TAG)
        await run.until_told(ConnectorStatus.FAULTED)
        await until(lambda: run.has.shows(Colour.RED), "red")


async def test_a_controller_that_starts_anew_is_not_said_to_have_no_car(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        run.has.pilot.change("B")
        await run.until_told(ConnectorStatus.PREPARING)
        run.has.pilot.restart()
        await run.until_told(ConnectorStatus.UNAVAILABLE)
        await until(lambda: run.has.shows(Colour.OFF), "dark")


async def test_what_happened_while_the_platform_was_away_is_told_afterwards(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        transaction = await run.charging()
        run.has.flow(800)
        await run.until_told(ConnectorStatus.CHARGING)
        run.events.away |= {"metered", "stopped", "status"}
        run.clock.move(timedelta(minutes=1))
        await until(lambda: "metered" in run.events.names(), "a sample tried")
        assert await run.station.remote_stop(STATION, transaction)
        run.has.meter.power_w = 0
        await until(lambda: not run.has.is_on, "off")
        run.events.away.clear()
        await run.until_stopped(transaction)
        assert stop_of(run, transaction).meter_stop == 70_800
        assert [sample.register for _, _, sample in run.events.samples] == [70_800]


async def test_commands_that_fit_nothing_are_rejected(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        transaction = await run.charging()
        assert not await run.station.remote_stop(STATION, transaction + 1)
        assert not await run.station.remote_start(REF, "another-tag")
        assert await run.station.remote_start(REF, TAG)  # asked again: it runs
        assert not await run.station.set_default_limit(ConnectorRef(STATION, 2), W(1_000))
        assert not run.station.is_connected(StationId("another"))
        with pytest.raises(Unavailable, match=r"station\.offline"):
            await run.station.remote_stop(StationId("another"), transaction)


async def test_a_start_waits_for_a_car_only_so_long(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        run.events.funded.add(TAG)
        await run.station.remote_start(REF, TAG)
        await run.until_told(ConnectorStatus.PREPARING)
        run.clock.move(timedelta(minutes=6))
        await run.until_told(ConnectorStatus.AVAILABLE)
        run.has.pilot.change("B")
        await run.until_told(ConnectorStatus.PREPARING)
        assert not run.events.transactions


async def test_a_contactor_that_does_not_answer_while_it_should_open_is_a_fault(tmp_path: Path) -> None:
    async with bench(tmp_path, config(patience_s=1.0)) as run:
        transaction = await run.charging()
        run.has.flow(400)
        await run.until_told(ConnectorStatus.CHARGING)
        run.has.relay_line.trouble = Trouble.SILENT
        assert await run.station.remote_stop(STATION, transaction)
        await run.until_told(ConnectorStatus.FAULTED)
        run.has.flow(50)  # it flows on, and the meter sees it
        run.has.relay_line.trouble = Trouble.NONE
        await until(lambda: not run.has.is_on, "off at last")
        run.has.meter.power_w = 0
        await run.until_stopped(transaction)
        assert stop_of(run, transaction).meter_stop in (70_400, 70_450)


async def test_a_contact_that_is_welded_ends_the_charge_and_begins_no_other_until_nothing_flows(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, config(patience_s=0.3)) as run:
        transaction = await run.charging()
        run.has.flow(400)
        await run.until_told(ConnectorStatus.CHARGING)
        assert await run.station.remote_stop(STATION, transaction)
        await run.until_stopped(transaction)  # the coil is off, and the meter shows 11 kW all the same
        await run.until_told(ConnectorStatus.FAULTED)
        assert not run.has.is_on
        assert run.has.shows(Colour.RED)
        assert not await run.station.remote_start(REF, "another tag")
        run.has.flow(0, power_w=0)
        await run.until_told(ConnectorStatus.FINISHING)
        assert await run.station.remote_start(REF, "another tag")


async def test_a_lamp_that_is_gone_stops_no_charge_and_is_lit_when_it_is_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as run:
        await until(lambda: run.has.shows(Colour.YELLOW), "yellow")
        run.has.lamp.detach()
        await run.charging()
        run.has.lamp.attach()
        await until(lambda: run.has.shows(Colour.LIGHT_BLUE), "light blue")


async def test_a_lamp_that_was_reset_unseen_is_lit_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.edge.station.AGAIN_AFTER_S", 0.05)
    async with bench(tmp_path) as run:
        await until(lambda: run.has.shows(Colour.YELLOW), "yellow")
        run.has.lamp.attach()
        await until(lambda: run.has.shows(Colour.YELLOW), "yellow again")

"""Simulated stations against a central system that is not ours, over a real socket."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ocpp.v16 import call
from ocpp.v16.enums import AvailabilityType, MessageTrigger, ResetType

from evmesh.domain.ids import StationId
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.sim.car import Car
from evmesh.sim.config import SimConfig, SimConnector, SimStation, SimTiming
from evmesh.sim.messages import wire_time
from evmesh.sim.misbehave import BEHAVES, Misbehaviour
from evmesh.sim.state import SimState
from evmesh.sim.station import Station
from evmesh.sim.world import Simulation
from tests.drivers.central_system import CentralServer, CentralSystem, Record, central_server, eventually
from tests.drivers.clocks import FastClock
from tests.drivers.sim_process import NoSignatures, no_wallet

NAME = "CA-303-305"
TAG = "TAG0123456789ABCDEFG"
SPEED = 600


def one_station() -> SimStation:
    connectors = tuple(
        SimConnector(number, f"CA-30{number}", W(7_360), 1, Milliamp(32_000)) for number in (1, 2)
    )
    return SimStation(StationId(NAME), "evmesh", "Twin", "SIM0001", "cabinet-a", connectors)


def config_of(server: CentralServer, directory: Path, misbehaviour: Misbehaviour) -> SimConfig:
    return SimConfig(
        state_dir=directory,
        ocpp_url=server.url,
        api_url="http://127.0.0.1:1",
        stations=(one_station(),),
        misbehaviour={NAME: misbehaviour},
        timing=SimTiming(reconnect_wall_ms=20, call_timeout_wall_s=5),
    )


@asynccontextmanager
async def world(
    server: CentralServer, directory: Path, misbehaviour: Misbehaviour = BEHAVES, speed: int = SPEED
) -> AsyncIterator[tuple[Station, FastClock]]:
    clock = FastClock(speed)
    state = SimState(directory / "sim.db")
    # At this speed five minutes are half a second, which a busy machine may take to plug a car in.
    state.save_setting(StationId(NAME), "ConnectionTimeOut", "7200")
    state.close()
    simulation = Simulation(config_of(server, directory, misbehaviour), clock, no_wallet, NoSignatures())
    running = asyncio.create_task(simulation.run())
    try:
        yield simulation.stations[0], clock
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.fixture
async def server() -> AsyncIterator[CentralServer]:
    async with central_server() as listening:
        yield listening


def tx_profile(
    watts: list[tuple[int, float]], clock: FastClock, transaction_id: int | None, hours: int = 8
) -> dict[str, Any]:
    """Give an absolute profile in watts that starts now."""
    profile = {
        "charging_profile_id": 1,
        "stack_level": 0,
        "charging_profile_purpose": "TxProfile",
        "charging_profile_kind": "Absolute",
        "valid_to": wire_time(clock.now() + timedelta(hours=hours)),
        "charging_schedule": {
            "charging_rate_unit": "W",
            "start_schedule": wire_time(clock.now()),
            "charging_schedule_period": [
                {"start_period": offset, "limit": limit, "number_phases": 1} for offset, limit in watts
            ],
        },
    }
    return profile | ({} if transaction_id is None else {"transaction_id": transaction_id})


async def remote_start(system: CentralSystem, connector: int = 1, tag: str = TAG) -> str:
    answer = await system.call(call.RemoteStartTransaction(id_tag=tag, connector_id=connector))
    return str(answer.status)


def car(room: int = 20_000) -> Car:
    return Car.with_room("driver", Wh(room), W(7_360))


def paused(record: Record) -> int:
    """Give which word of connector 1 was the first that the station had paused it."""
    return record.statuses_of(1).index("SuspendedEVSE")


def register_at(record: Record, word: int) -> int:
    """Give the register as it was last told before the instant of a word of connector 1."""
    words = [said for said in record.said("StatusNotification") if said["connector_id"] == 1]
    told = [value for said in record.said("MeterValues") for value in said["meter_value"]]
    before = sum(value["timestamp"] <= words[word]["timestamp"] for value in told)
    assert before, "nothing was told before that"
    register: int = record.registers()[before - 1]
    return register


async def test_a_whole_session_follows_its_limits_and_counts_every_wh(
    server: CentralServer, tmp_path: Path
) -> None:
    async with world(server, tmp_path) as (station, clock):
        system = await server.connected(NAME)
        record = server.record(NAME)
        assert record.log[0][0] == "BootNotification"
        await eventually(lambda: record.status_of(2) == "Available" and record.status_of(0) == "Available")
        station.plug(1, car())
        await eventually(lambda: record.status_of(1) == "Preparing")
        assert await remote_start(system) == "Accepted"
        await eventually(lambda: station.evse_of(1))
        limits = tx_profile([(0, 3_680.0), (1_800, 0), (3_600, 7_360.0)], clock, 1)
        answer = await system.call(call.SetChargingProfile(1, limits))
        assert answer.status == "Accepted"
        await eventually(lambda: "SuspendedEVSE" in record.statuses_of(1))
        await eventually(lambda: "Charging" in record.statuses_of(1)[paused(record) :])
        await eventually(lambda: record.registers()[-1] > 6_000)
        assert record.statuses_of(1)[paused(record) + 1] == "Charging"
        before, after = (register_at(record, paused(record) + step) for step in (0, 1))
        assert after - before < 700
        vehicle = station.evses[1].record.car
        assert vehicle is not None
        stop = await system.call(call.RemoteStopTransaction(transaction_id=1))
        assert stop.status == "Accepted"
        await eventually(lambda: record.said("StopTransaction"))
        assert record.last("StopTransaction")["reason"] == "Remote"
        assert record.last("StopTransaction")["transaction_id"] == 1
        await eventually(lambda: record.status_of(1) == "Finishing")
        station.unplug(1)
        await eventually(lambda: record.status_of(1) == "Available")

    registers = record.registers(1)
    assert registers == sorted(registers)
    start, end = record.last("StartTransaction")["meter_start"], record.last("StopTransaction")["meter_stop"]
    assert end >= registers[-1]
    assert end - start == vehicle.received
    assert vehicle.received_ws == station.evses[1].record.meter.register_ws


async def test_power_follows_the_period_of_the_profile(server: CentralServer, tmp_path: Path) -> None:
    async with world(server, tmp_path) as (station, clock):
        system, record = await server.connected(NAME), server.record(NAME)
        station.plug(1, car(60_000))
        await remote_start(system)
        await eventually(lambda: station.evse_of(1))
        await eventually(lambda: powers(record.said("MeterValues")))
        assert set(powers(record.said("MeterValues"))) == {1_380}  # nobody has set a limit: the safe current
        await system.call(call.SetChargingProfile(1, tx_profile([(0, 2_300.0), (1_800, 5_000.4)], clock, 1)))
        await eventually(lambda: powers(record.said("MeterValues"))[-1] == 4_999)  # 21 739 mA, rounded down
        assert 2_300 in powers(record.said("MeterValues"))


async def test_an_expired_profile_leaves_a_safe_current(server: CentralServer, tmp_path: Path) -> None:
    async with world(server, tmp_path) as (station, clock):
        system, record = await server.connected(NAME), server.record(NAME)
        station.plug(1, car(60_000))
        await remote_start(system)
        await eventually(lambda: station.evse_of(1))
        await system.call(call.SetChargingProfile(1, tx_profile([(0, 7_360.0)], clock, 1, hours=1)))
        await eventually(lambda: 7_360 in powers(record.said("MeterValues")))
        await eventually(lambda: powers(record.said("MeterValues"))[-1] == 1_380)


async def test_a_car_that_is_full_suspends_and_still_has_a_transaction(
    server: CentralServer, tmp_path: Path
) -> None:
    async with world(server, tmp_path) as (station, clock):
        system, record = await server.connected(NAME), server.record(NAME)
        await remote_start(system)
        await eventually(lambda: record.status_of(1) == "Preparing")
        station.plug(1, car(1_000))
        await eventually(lambda: station.evse_of(1))
        await system.call(call.SetChargingProfile(1, tx_profile([(0, 7_360.0)], clock, 1)))
        await eventually(lambda: record.status_of(1) == "SuspendedEV")
        assert not record.said("StopTransaction")
        station.unplug(1)
        await eventually(lambda: record.said("StopTransaction"))
    stop = record.last("StopTransaction")
    assert stop["reason"] == "EVDisconnected"
    assert stop["meter_stop"] - record.last("StartTransaction")["meter_start"] == 1_000


async def test_an_authorisation_without_a_car_ends_after_the_connection_timeout(
    server: CentralServer, tmp_path: Path
) -> None:
    async with world(server, tmp_path) as (station, _):
        system, record = await server.connected(NAME), server.record(NAME)
        answer = await system.call(call.ChangeConfiguration(key="connectiontimeout", value="1800"))
        assert answer.status == "Accepted"
        assert await remote_start(system) == "Accepted"
        assert await remote_start(system) == "Rejected"
        await eventually(lambda: record.statuses_of(1)[-2:] == ["Preparing", "Available"])
        station.plug(1, car())
        await eventually(lambda: record.status_of(1) == "Preparing")
        assert not record.said("StartTransaction")


async def test_a_card_that_is_known_starts_and_stops_a_transaction(
    server: CentralServer, tmp_path: Path
) -> None:
    server.wishes.invalid_tags.add("THIEF")
    async with world(server, tmp_path) as (station, _):
        await server.connected(NAME)
        record = server.record(NAME)
        station.plug(2, car())
        station.present_card(2, "THIEF")
        await eventually(lambda: record.said("Authorize"))
        station.present_card(2, "CARD")
        await eventually(lambda: record.said("StartTransaction"))
        assert [start["id_tag"] for start in record.said("StartTransaction")] == ["CARD"]
        await eventually(lambda: record.registers())
        station.present_card(2, "CARD")
        await eventually(lambda: record.said("StopTransaction"))
        assert record.last("StopTransaction")["reason"] == "Local"


async def test_a_start_with_an_invalid_tag_is_ended_as_deauthorized(
    server: CentralServer, tmp_path: Path
) -> None:
    server.wishes.invalid_tags.add(TAG)
    async with world(server, tmp_path) as (station, _):
        system, record = await server.connected(NAME), server.record(NAME)
        station.plug(1, car())
        await remote_start(system)
        await eventually(lambda: record.said("StopTransaction"))
        assert record.last("StopTransaction")["reason"] == "DeAuthorized"


async def test_what_happens_offline_is_told_in_order_when_the_line_is_back(
    server: CentralServer, tmp_path: Path
) -> None:
    async with world(server, tmp_path, Misbehaviour(drop_mid_call_every=7), speed=120) as (station, _):
        record = server.record(NAME)
        system = await server.connected(NAME)
        station.plug(1, car())
        station.authorised(1, TAG)
        await eventually(lambda: len(record.registers()) > 5)
        station.unplug(1)
        await eventually(lambda: record.said("StopTransaction"))
        assert system is not None
    assert record.connections > 2
    kept = [name for name, _ in record.log if name in ("StartTransaction", "MeterValues", "StopTransaction")]
    assert kept[0] == "StartTransaction"
    assert kept[-1] == "StopTransaction"
    assert len(record.transactions) == 1
    registers = record.registers()
    assert registers == sorted(registers)


async def test_a_start_that_is_answered_with_an_error_is_tried_three_times_then_given_up(
    server: CentralServer, tmp_path: Path
) -> None:
    server.wishes.errors_for_start = 3
    async with world(server, tmp_path) as (station, _):
        await server.connected(NAME)
        record = server.record(NAME)
        station.plug(1, car())
        station.authorised(1, TAG)
        await eventually(lambda: len(record.said("StartTransaction")) == 3)
        await eventually(lambda: not station.is_running(1))
        assert len({tuple(sorted(start.items())) for start in record.said("StartTransaction")}) == 1
        station.authorised(1, "SECOND")
        await eventually(lambda: record.transactions)
        assert record.last("StartTransaction")["id_tag"] == "SECOND"
        assert not record.said("StopTransaction")


async def test_nothing_but_boot_is_sent_until_the_station_is_accepted(
    server: CentralServer, tmp_path: Path
) -> None:
    server.wishes.boot, server.wishes.boot_interval = ["Rejected", "Pending"], 120
    async with world(server, tmp_path) as (station, _):
        record = server.record(NAME)
        station.plug(1, car())
        station.authorised(1, TAG)
        await eventually(lambda: record.said("StartTransaction"))
        assert [name for name, _ in record.log[:3]] == ["BootNotification"] * 3
        await eventually(lambda: record.said("Heartbeat"))


async def test_a_reset_ends_transactions_and_boots_anew(server: CentralServer, tmp_path: Path) -> None:
    async with world(server, tmp_path) as (station, _):
        system, record = await server.connected(NAME), server.record(NAME)
        station.plug(1, car())
        await remote_start(system)
        await eventually(lambda: record.transactions)
        answer = await system.call(call.Reset(ResetType.soft))
        assert answer.status == "Accepted"
        await eventually(lambda: len(record.said("BootNotification")) == 2)
        await eventually(lambda: record.said("StopTransaction"))
        assert record.last("StopTransaction")["reason"] == "SoftReset"


async def test_commands_are_answered_as_the_specification_says(server: CentralServer, tmp_path: Path) -> None:
    async with world(server, tmp_path, speed=10) as (station, clock):  # its profile has to last for a while
        system, record = await server.connected(NAME), server.record(NAME)
        unknown = await system.call(call.SetChargingProfile(1, tx_profile([(0, 0)], clock, 7)))
        assert unknown.status == "Rejected"  # no transaction runs
        assert (await system.call(call.RemoteStopTransaction(transaction_id=9))).status == "Rejected"
        keys = await system.call(call.GetConfiguration(key=["HeartbeatInterval", "Moonphase"]))
        assert keys.unknown_key == ["Moonphase"]
        assert keys.configuration_key[0]["value"] == "300"
        readonly = await system.call(call.ChangeConfiguration(key="NumberOfConnectors", value="9"))
        assert readonly.status == "Rejected"
        out = await system.call(call.ChangeAvailability(connector_id=2, type=AvailabilityType.inoperative))
        assert out.status == "Accepted"
        await eventually(lambda: record.status_of(2) == "Unavailable")
        assert await remote_start(system, connector=2) == "Rejected"
        before = len(record.said("MeterValues"))
        await system.call(call.TriggerMessage(MessageTrigger.meter_values, connector_id=1))
        await eventually(lambda: len(record.said("MeterValues")) > before)
        assert (await system.call(call.DataTransfer(vendor_id="other"))).status == "UnknownVendorId"
        with pytest.raises(Exception, match="does not have"):
            await system.call(call.GetLocalListVersion(), suppress=False)
        assert (await system.call(call.UnlockConnector(connector_id=1))).status == "Unlocked"
        assert (await system.call(call.ClearChargingProfile(id=5))).status == "Unknown"
        station.plug(1, car())
        await remote_start(system)
        await eventually(lambda: station.evse_of(1))
        await system.call(call.SetChargingProfile(1, tx_profile([(0, 2_300.0), (600, 0)], clock, 1)))
        schedule = await system.call(call.GetCompositeSchedule(connector_id=1, duration=1_200))
        limits = [period["limit"] for period in schedule.charging_schedule["charging_schedule_period"]]
        assert limits == [10.0, 0.0]


async def test_a_misbehaving_station_does_each_of_its_tricks(server: CentralServer, tmp_path: Path) -> None:
    tricks = Misbehaviour(
        duplicate_every=1,
        register_goes_back=Wh(500),
        clock_skew=timedelta(hours=-1),
        rejects_remote_start=True,
        answer_delay_wall_ms=30,
        ignores_limits=True,
        never_stops=True,
    )
    async with world(server, tmp_path, tricks) as (station, clock):
        system, record = await server.connected(NAME), server.record(NAME)
        assert await remote_start(system) == "Rejected"
        station.plug(1, car())
        station.authorised(1, TAG)
        await eventually(lambda: len(record.said("StartTransaction")) == 2)
        assert record.last("StartTransaction") == record.said("StartTransaction")[0]
        assert record.last("StartTransaction")["timestamp"] < wire_time(clock.now() - timedelta(minutes=50))
        await system.call(call.SetChargingProfile(1, tx_profile([(0, 0)], clock, 1)))
        await eventually(lambda: len(record.registers()) > 20)
        registers = record.registers()
        assert registers != sorted(registers)
        assert powers(record.said("MeterValues"))[-1] > 5_000
        assert (await system.call(call.RemoteStopTransaction(transaction_id=1))).status == "Accepted"
        assert station.is_running(1)


async def test_a_resent_message_keeps_its_id_unless_the_station_misbehaves(
    server: CentralServer, tmp_path: Path
) -> None:
    server.wishes.errors_for_start = 2
    for misbehaviour, ids in ((BEHAVES, 1), (Misbehaviour(new_message_id_on_retry=True), 3)):
        server.wishes.errors_for_start = 2
        server.records.clear()
        async with world(server, tmp_path / str(ids), misbehaviour) as (station, _):
            record = server.record(NAME)
            station.plug(1, car())
            station.authorised(1, TAG)
            await eventually(lambda seen=record: seen.transactions)  # type: ignore[misc]
        starts = {raw[:42] for raw in record.message_ids if '"StartTrans' in raw}
        assert len(starts) == ids


async def test_a_station_shows_its_password_where_it_has_one(server: CentralServer, tmp_path: Path) -> None:
    station = replace(one_station(), password="open-sesame-0123")
    config = replace(config_of(server, tmp_path, BEHAVES), stations=(station,))
    simulation = Simulation(config, FastClock(SPEED), no_wallet, NoSignatures())
    running = asyncio.create_task(simulation.run())
    await server.connected(NAME)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    secret = base64.b64encode(f"{NAME}:open-sesame-0123".encode()).decode()
    assert server.record(NAME).authorization == f"Basic {secret}"


def powers(meter_values: list[dict[str, Any]]) -> list[int]:
    return [
        int(sample["value"])
        for payload in meter_values
        for value in payload["meter_value"]
        for sample in value["sampled_value"]
        if sample["measurand"] == "Power.Active.Import"
    ]

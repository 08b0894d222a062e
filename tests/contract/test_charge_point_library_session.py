"""A whole charge between our CSMS and the `ocpp` library's own charge point."""

import asyncio
from datetime import timedelta

from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitPeriod, LimitProfile
from evmesh.domain.units import W
from tests.drivers.ocpp_library_station import LibraryStation
from tests.drivers.raw_station import NOW, running_csms, until
from tests.drivers.recording_events import RecordingEvents

STATION = StationId("CP-1")
CONNECTOR = ConnectorRef(STATION, 1)


async def test_the_library_s_own_station_charges_from_boot_to_stop() -> None:
    events = RecordingEvents(funded={"TAG-OF-THE-SESSION"})
    profile = LimitProfile(
        NOW,
        NOW + timedelta(minutes=30),
        (LimitPeriod(0, W(11_000)), LimitPeriod(900, W(0))),
        source="planner",
    )
    async with running_csms(events) as csms:
        url = f"ws://127.0.0.1:{csms.port}/ocpp"
        async with LibraryStation.at(url, "CP-1", now=lambda: NOW) as station:
            assert (await station.boot()).status == "Accepted"
            assert await csms.remote_start(CONNECTOR, "TAG-OF-THE-SESSION") is True
            charging = asyncio.create_task(station.charge(samples=3, step_wh=500))
            await until(lambda: len(events.samples) == 3)

            assert await csms.set_limit(CONNECTOR, 1, profile) is True
            assert await csms.remote_start(CONNECTOR, "ANOTHER") is False
            assert await csms.remote_stop(STATION, 99) is False
            assert await csms.remote_stop(STATION, 1) is True
            charge = await charging
            await until(lambda: len(station.keys) == 5)
        await until(lambda: "disconnected" in events.names())

    assert (charge.transaction_id, charge.accepted) == (1, "Accepted")
    (start,) = events.transactions
    assert (start.connector, start.id_tag, start.meter_start, start.at) == (
        CONNECTOR,
        "TAG-OF-THE-SESSION",
        1_000_000,
        NOW,
    )
    assert [sample.register for _, _, sample in events.samples] == [1_000_500, 1_001_000, 1_001_500]
    assert {(transaction, sample.power, sample.soc_percent) for _, transaction, sample in events.samples} == {
        (1, 7360, 41)
    }
    stop = events.stops[1]
    assert (stop.meter_stop, stop.reason, stop.samples[0].register) == (1_001_500, "Remote", 1_001_500)
    assert charge.profiles == [
        {
            "connector_id": 1,
            "charging_profile_id": 1,
            "transaction_id": 1,
            "stack_level": 0,
            "charging_profile_purpose": "TxProfile",
            "charging_profile_kind": "Absolute",
            "valid_from": "2026-06-01T08:00:00Z",
            "valid_to": "2026-06-01T08:30:00Z",
            "charging_schedule": {
                "start_schedule": "2026-06-01T08:00:00Z",
                "duration": 1800,
                "charging_rate_unit": "W",
                "charging_schedule_period": [
                    {"start_period": 0, "limit": 11_000},
                    {"start_period": 900, "limit": 0},
                ],
            },
        }
    ]
    assert station.keys["MeterValueSampleInterval"] == "60"
    assert events.names() == [
        "connected",
        "booted",
        "status",
        "status",
        "authorize",
        "started",
        "status",
        "metered",
        "metered",
        "metered",
        "stopped",
        "status",
        "status",
        "disconnected",
    ]


async def test_a_station_that_is_not_ours_is_rejected_and_gets_no_commands() -> None:
    events = RecordingEvents(ours=False)
    async with (
        running_csms(events) as csms,
        LibraryStation.at(f"ws://127.0.0.1:{csms.port}/ocpp", "CP-1") as station,
    ):
        assert (await station.boot()).status == "Rejected"
        assert csms.is_connected(STATION) is False
        assert station.keys == {}

"""Stations come, are replaced, and go; commands find them, or say that they are not there."""

import asyncio
import contextlib
import gc
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from evmesh.csms.calls import MAX_WAITING
from evmesh.csms.config import CsmsConfig
from evmesh.csms.server import Csms
from evmesh.domain.errors import InvalidInput, Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from tests.contract.patient_loop import PatientLoop
from tests.drivers.raw_station import (
    PATIENCE_S,
    FixedClock,
    RawStation,
    raw_station,
    running_csms,
    start_payload,
    until,
    until_connected,
)
from tests.drivers.recording_events import RecordingEvents

LOOP = PatientLoop
STATION = StationId("CP-1")
CONNECTOR = ConnectorRef(STATION, 1)
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}


async def closed_with(station: RawStation) -> tuple[int, str]:
    """Read until the CSMS closes the line; give its code and reason."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await station.receive()
    code, reason = station.socket.close_code, station.socket.close_reason
    assert code is not None
    assert reason is not None
    return code, reason


async def test_a_newer_connection_replaces_the_one_before() -> None:
    events = RecordingEvents()
    async with running_csms(events) as csms, raw_station(csms) as old:
        assert await old.still_served()
        async with raw_station(csms) as new:
            assert await new.still_served()
            code, reason = await closed_with(old)
            assert (code, "newer connection" in reason) == (1008, True)
            started = asyncio.create_task(csms.remote_start(CONNECTOR, "T"))
            _, id_, action, _ = await new.receive()
            assert action == "RemoteStartTransaction"
            await new.send([3, id_, {"status": "Accepted"}])
            assert await started
        await until(lambda: events.names().count("disconnected") == 2)
        assert not csms.is_connected(STATION)
    assert events.names() == ["connected", "disconnected", "connected", "disconnected"]


async def test_a_half_open_connection_does_not_hold_up_the_new_one() -> None:
    events = RecordingEvents()
    async with running_csms(events, close_timeout_s=0.2) as csms, raw_station(csms) as old:
        assert await old.still_served()
        old.socket.transport.pause_reading()  # the old line says nothing any more, not even a goodbye
        async with raw_station(csms) as new:
            assert await new.still_served()
            assert csms.is_connected(STATION)
        old.socket.transport.abort()


async def test_a_call_that_is_open_when_the_station_is_replaced_ends_as_offline() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as old:
        assert await old.still_served()
        asked = asyncio.create_task(csms.remote_stop(STATION, 1))
        await old.receive()
        async with raw_station(csms) as new:
            assert await new.still_served()
            with pytest.raises(Unavailable, match=r"station\.offline"):
                await asked


async def test_what_was_read_before_the_line_broke_is_served_before_the_station_is_gone() -> None:
    events = RecordingEvents(gate=asyncio.Event())
    async with running_csms(events) as csms:
        async with raw_station(csms) as station:
            await station.send([2, "1", "StartTransaction", start_payload()])
            await station.send([2, "2", "StartTransaction", start_payload(connectorId=2)])
            await until(lambda: "started" in events.names())
            await station.socket.close()
        assert events.gate is not None
        events.gate.set()
        await until(lambda: "disconnected" in events.names())
    assert events.names() == ["connected", "started", "started", "disconnected"]


async def test_a_station_that_is_not_there_cannot_be_commanded() -> None:
    async with running_csms(RecordingEvents()) as csms:
        assert not csms.is_connected(STATION)
        with pytest.raises(Unavailable, match=r"station\.offline"):
            await csms.remote_start(CONNECTOR, "T")


async def test_an_answer_comes_through_while_the_station_s_own_call_waits_for_the_store() -> None:
    events = RecordingEvents(gate=asyncio.Event())
    async with running_csms(events) as csms, raw_station(csms) as station:
        await until_connected(csms)
        await station.send([2, "1", "StartTransaction", start_payload()])
        await until(lambda: "started" in events.names())
        asked = asyncio.create_task(csms.remote_stop(STATION, 1))
        _, id_, _, payload = await station.receive()
        assert payload == {"transactionId": 1}
        await station.send([3, id_, {"status": "Accepted"}])
        assert await asked is True
        assert events.gate is not None
        events.gate.set()
        assert (await station.receive())[:2] == [3, "1"]


async def test_two_calls_at_once_go_one_after_the_other() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await until_connected(csms)
        first = asyncio.create_task(csms.remote_stop(STATION, 1))
        second = asyncio.create_task(csms.remote_stop(STATION, 2))
        _, id_, _, payload = await station.receive()
        assert payload == {"transactionId": 1}
        assert await station.still_served()  # the second has not been sent
        await station.send([3, id_, {"status": "Accepted"}])
        _, id_2, _, payload = await station.receive()
        assert payload == {"transactionId": 2}
        assert id_2 != id_
        await station.send([3, id_2, {"status": "Rejected"}])
        assert (await first, await second) == (True, False)


async def test_the_queue_of_calls_is_bounded() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await until_connected(csms)
        asked = [asyncio.create_task(csms.remote_stop(STATION, number)) for number in range(MAX_WAITING)]
        await station.receive()
        with pytest.raises(Unavailable, match=r"station\.busy"):
            await csms.remote_stop(STATION, 99)
        await station.socket.close()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {getattr(outcome, "code", None) for outcome in outcomes} == {"station.offline"}


async def test_a_call_without_an_answer_is_given_up_and_a_late_answer_is_passed_over() -> None:
    async with running_csms(RecordingEvents(), call_timeout_s=0.1) as csms, raw_station(csms) as station:
        await until_connected(csms)
        with pytest.raises(Unavailable, match=r"station\.no_answer"):
            await csms.remote_stop(STATION, 1)
        _, late, _, _ = await station.receive()
        await station.send([3, late, {"status": "Accepted"}])
        assert await station.still_served()


async def test_an_answer_to_another_call_does_not_answer_this_one() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await until_connected(csms)
        asked = asyncio.create_task(csms.remote_stop(STATION, 1))
        _, id_, _, _ = await station.receive()
        await station.send([3, "another", {"status": "Accepted"}])
        await station.send([4, "another", "GenericError", "", {}])
        assert await station.still_served()
        assert not asked.done()
        await station.send([3, id_, {"status": "Rejected"}])
        assert await asked is False


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ([4, "ID", "NotSupported", "", {}], False),
        ([4, "ID", "InternalError"], False),
        ([3, "ID", {"status": "Accepted", "vendor": 1}], True),
        ([3, "ID", {"status": "Maybe"}], "station.malformed_answer"),
        ([3, "ID", {}], "station.malformed_answer"),
        ([3, "ID", []], "station.malformed_answer"),
        ([3, "ID"], "station.malformed_answer"),
    ],
)
async def test_what_a_station_answers_is_a_yes_a_no_or_no_answer(
    answer: list[Any], outcome: bool | str
) -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await until_connected(csms)
        asked = asyncio.create_task(csms.remote_stop(STATION, 1))
        _, id_, _, _ = await station.receive()
        await station.send([id_ if item == "ID" else item for item in answer])
        if isinstance(outcome, bool):
            assert await asked is outcome
        else:
            with pytest.raises(Unavailable) as failed:
                await asked
            assert failed.value.code == outcome


async def test_a_booted_station_is_set_up_and_one_that_knows_no_key_goes_on() -> None:
    keys = {}
    async with (
        running_csms(RecordingEvents(), meter_sample_interval_s=15) as csms,
        raw_station(csms) as station,
    ):
        assert (await station.ask("boot", "BootNotification", BOOT))[2]["status"] == "Accepted"
        for _ in range(5):
            _, id_, action, payload = await station.receive()
            assert action == "ChangeConfiguration"
            keys[payload["key"]] = payload["value"]
            refusal: list[Any] = [3, id_, {"status": "NotSupported"}]
            await station.send(refusal if len(keys) % 2 else [4, id_, "NotImplemented", "", {}])
        assert await station.still_served()
    assert keys["MeterValueSampleInterval"] == "15"
    assert keys["StopTransactionOnInvalidId"] == "true"


async def test_a_station_that_answers_no_setting_can_still_be_commanded() -> None:
    async with running_csms(RecordingEvents(), call_timeout_s=1) as csms, raw_station(csms) as station:
        await station.ask("boot", "BootNotification", BOOT)
        assert (await station.receive())[2] == "ChangeConfiguration"
        asked = asyncio.create_task(csms.remote_stop(STATION, 1))
        _, id_, action, _ = await station.receive()
        assert action == "RemoteStopTransaction"
        await station.send([3, id_, {"status": "Accepted"}])
        assert await asked is True


async def test_a_connection_that_cannot_be_stored_is_asked_to_come_later() -> None:
    events = RecordingEvents(away={"connected"})
    async with running_csms(events) as csms:
        async with raw_station(csms) as station:
            assert (await closed_with(station))[0] == 1013
        events.away.clear()
        async with raw_station(csms) as station:
            assert await station.still_served()


async def test_stations_are_told_when_the_platform_stops() -> None:
    events = RecordingEvents(gate=asyncio.Event())
    csms = Csms(events, FixedClock(), CsmsConfig(port=0))
    running = asyncio.create_task(csms.run())
    await csms.listening()
    async with raw_station(csms, "IDLE") as idle, raw_station(csms, "BUSY") as busy:
        await busy.send([2, "1", "StartTransaction", start_payload()])
        await until(lambda: "started" in events.names())
        assert await idle.still_served()
        running.cancel()
        assert (await closed_with(idle))[0] == 1001
        assert (await closed_with(busy))[0] == 1001
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([running])
    assert running.cancelled()


async def test_a_programming_error_in_one_connection_stops_the_service_loudly() -> None:
    events = RecordingEvents(raises={"authorize": ZeroDivisionError("a bug")})
    csms = Csms(events, FixedClock(), CsmsConfig(port=0))
    running = asyncio.create_task(csms.run())
    await csms.listening()
    async with raw_station(csms, "A") as station, raw_station(csms, "B") as bystander:
        assert await bystander.still_served()
        await station.send([2, "1", "Authorize", {"idTag": "T"}])
        assert (await closed_with(bystander))[0] == 1001
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([running])
    error = running.exception()
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, ZeroDivisionError)


async def test_a_port_in_use_is_said_in_words() -> None:
    async with running_csms(RecordingEvents()) as csms:
        second = Csms(RecordingEvents(), FixedClock(), CsmsConfig(port=csms.port))
        with pytest.raises(InvalidInput) as taken:
            await second.run()
        assert taken.value.code == "csms.port_in_use"
        assert str(csms.port) in taken.value.what


async def test_stations_that_left_leave_nothing_behind() -> None:
    events = RecordingEvents()
    async with running_csms(events) as csms:
        for number in range(20):
            async with raw_station(csms, f"CP-{number}") as station:
                assert await station.still_served()
        await until(lambda: events.names().count("disconnected") == 20)
        gc.collect()
        assert csms._seats._seats == {}

"""What comes over a real WebSocket, right and wrong: every fact is kept, and the line stays."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from evmesh.csms.connection import MAX_UNSERVED
from evmesh.domain.ids import StationId
from tests.drivers.raw_station import (
    PATIENCE_S,
    raw_station,
    running_csms,
    start_payload,
    stop_payload,
    until,
    until_connected,
)
from tests.drivers.recording_events import RecordingEvents


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('[2,"x"]', "FormationViolation"),
        ('[2,"x","Heartbeat"]', "FormationViolation"),
        ('[2,"x","Heartbeat",null]', "FormationViolation"),
        ('[2,"x","Heartbeat",[]]', "FormationViolation"),
        ('[2,"x",5,{}]', "FormationViolation"),
        ('["2","x","Heartbeat",{}]', "FormationViolation"),
        ('[9,"x","Heartbeat",{}]', "FormationViolation"),
        ('[2,"x","Heartbeat",{"extra":1}]', "FormationViolation"),
        ('[2,"x","BootNotification",{}]', "ProtocolError"),
        ('[2,"x","Authorize",{"idTag":5}]', "TypeConstraintViolation"),
        ('[2,"x","Authorize",{"idTag":"123456789012345678901"}]', "PropertyConstraintViolation"),
        ('[2,"x","MeterValues",{"connectorId":1,"meterValue":[]}]', "OccurenceConstraintViolation"),
        ('[2,"x","Coffee",{}]', "NotImplemented"),
        ('[2,"x","Reset",{"type":"Soft"}]', "NotSupported"),
    ],
)
async def test_a_bad_frame_with_an_id_is_answered_with_what_is_wrong(frame: str, code: str) -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await station.send(frame)
        kind, id_, got, description, details = await station.receive()
        assert (kind, id_, got, details) == (4, "x", code, {})
        assert description
        assert await station.still_served()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "{}",
        "[]",
        "null",
        "[2,null,null,null]",
        '[2,"","Heartbeat",{}]',
        '[2,"x","Heartbeat",{}',
        "[" * 100_000,
        '[3,"nobody-asked",{}]',
        '[3,"nobody-asked"]',
        '[4,"nobody-asked","GenericError","",{}]',
        '[4,"nobody-asked"]',
    ],
)
async def test_a_frame_that_cannot_be_answered_is_passed_over(frame: str) -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await station.send(frame)
        assert await station.still_served()


async def test_bytes_that_are_no_text_and_binary_frames_do_not_end_the_line() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        await station.socket.send(b"\xff\xfe\x00", text=True)
        await station.socket.send(b"\xff\xfe\x00", text=False)
        assert await station.still_served()


async def test_a_frame_beyond_the_bound_ends_its_own_line_only() -> None:
    async with running_csms(RecordingEvents(), max_frame_bytes=10_000) as csms:
        async with raw_station(csms, "BIG") as big, raw_station(csms, "OTHER") as other:
            payload = {"vendorId": "V", "data": "x" * 20_000}
            await big.send([2, "1", "DataTransfer", payload])
            with pytest.raises(ConnectionClosedError) as closed:
                await big.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
            assert await other.still_served()
        async with raw_station(csms, "BIG") as again:
            assert await again.still_served()


async def test_the_same_id_twice_is_served_twice_by_content() -> None:
    events = RecordingEvents()
    async with running_csms(events) as csms, raw_station(csms) as station:
        first = await station.ask("same", "StartTransaction", start_payload())
        again = await station.ask("same", "StartTransaction", start_payload())
        other = await station.ask("same", "StartTransaction", start_payload(connectorId=2))
    assert first == again
    assert (first[2]["transactionId"], other[2]["transactionId"]) == (1, 2)


async def test_a_start_that_comes_again_after_a_lost_line_is_the_same_transaction() -> None:
    events = RecordingEvents(funded={"TAG"}, gate=asyncio.Event())
    async with running_csms(events) as csms:
        async with raw_station(csms) as station:
            await station.send([2, "1", "StartTransaction", start_payload()])
            await until(lambda: "started" in events.names())
        assert events.gate is not None
        events.gate.set()
        async with raw_station(csms) as station:
            answer = await station.ask("2", "StartTransaction", start_payload())
    assert answer[2] == {"transactionId": 1, "idTagInfo": {"status": "Accepted"}}
    assert events.names().count("started") == 2
    assert len(events.transactions) == 1


async def test_nothing_is_answered_before_it_is_durable() -> None:
    events = RecordingEvents(gate=asyncio.Event())
    async with running_csms(events) as csms, raw_station(csms) as station:
        await station.send([2, "1", "StartTransaction", start_payload()])
        await station.send([2, "2", "Heartbeat", {}])
        await until(lambda: "started" in events.names())
        receiving = asyncio.create_task(station.receive())
        await asyncio.wait([receiving], timeout=0.1)
        assert not receiving.done()
        assert events.gate is not None
        events.gate.set()
        assert (await receiving)[1] == "1"
        assert (await station.receive())[1] == "2"


async def test_a_start_and_a_stop_are_not_answered_while_the_store_is_away_and_are_when_it_is_back() -> None:
    events = RecordingEvents(away={"started", "stopped", "authorize"})
    async with running_csms(events) as csms, raw_station(csms) as station:
        await station.send([2, "1", "StartTransaction", start_payload()])
        await station.send([2, "2", "StopTransaction", stop_payload()])
        error = await station.ask("3", "Authorize", {"idTag": "T"})
        assert error[:3] == [4, "3", "InternalError"]
        events.away.clear()
        assert (await station.ask("4", "StartTransaction", start_payload()))[:2] == [3, "4"]
        assert (await station.ask("5", "StopTransaction", stop_payload())) == [3, "5", {}]


async def test_more_calls_at_once_than_the_standard_allows_are_all_answered_in_order() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
        for number in range(300):
            await station.send([2, str(number), "Heartbeat", {}])
        assert [(await station.receive())[1] for _ in range(300)] == [str(number) for number in range(300)]


def _calls_read() -> float:
    labels = {"direction": "in", "kind": "call"}
    return REGISTRY.get_sample_value("evmesh_csms_frames_total", labels) or 0


async def test_a_station_that_sends_without_waiting_is_read_no_faster_than_it_is_served() -> None:
    events = RecordingEvents(gate=asyncio.Event())
    async with running_csms(events) as csms, raw_station(csms) as station:
        before = _calls_read()
        for number in range(100):
            await station.send([2, str(number), "StartTransaction", start_payload(connectorId=number)])
        await until(lambda: _calls_read() - before > MAX_UNSERVED)
        for _ in range(100):
            await asyncio.sleep(0)
        assert _calls_read() - before <= MAX_UNSERVED + 2  # one is being served, one is in the reader's hand
        assert events.gate is not None
        events.gate.set()
        assert [(await station.receive())[1] for _ in range(100)] == [str(number) for number in range(100)]


_FRAMES = (
    st.binary(max_size=60)
    | st.text(max_size=60)
    | st.tuples(
        st.integers(0, 9) | st.text(max_size=2),
        st.text(max_size=4) | st.integers() | st.none(),
        st.sampled_from(["StartTransaction", "StopTransaction", "MeterValues", "Heartbeat", "X"])
        | st.integers(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just("2026-06-01T08:00:00Z"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "connectorId",
                            "idTag",
                            "meterStart",
                            "meterStop",
                            "timestamp",
                            "transactionId",
                            "meterValue",
                            "sampledValue",
                            "transactionData",
                            "value",
                            "unit",
                            "reason",
                        ]
                    ),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=12,
        ),
    ).map(list)
)


@given(st.lists(_FRAMES, min_size=1, max_size=20))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_end_the_line_or_the_server(sent: list[object]) -> None:
    async def session() -> None:
        async with running_csms(RecordingEvents()) as csms, raw_station(csms) as station:
            for frame in sent:
                await station.send(frame)
            await station.send('[2,"the-last-of-all","Heartbeat",{}]')
            while (await station.receive())[1] != "the-last-of-all":
                pass
            assert csms.is_connected(StationId("CP-1"))

    asyncio.run(session())


@pytest.mark.parametrize(
    ("path", "protocols", "status", "word"),
    [
        ("/", ["ocpp1.6"], 404, "/ocpp/"),
        ("/ocpp/", ["ocpp1.6"], 404, "/ocpp/"),
        ("/ocpp/CP-1/more", ["ocpp1.6"], 404, "/ocpp/"),
        ("/ocppCP-1", ["ocpp1.6"], 404, "/ocpp/"),
        ("/ocpp/bad%20id", ["ocpp1.6"], 400, "bad id"),
        ("/ocpp/%ff", ["ocpp1.6"], 400, "UTF-8"),
        ("/ocpp/" + "x" * 60, ["ocpp1.6"], 400, "48"),
        ("/ocpp/CP-1", None, 400, "ocpp1.6"),
        ("/ocpp/CP-1", ["ocpp2.0.1"], 400, "ocpp1.6"),
        ("/ocpp/STRANGER", ["ocpp1.6"], 404, "STRANGER"),
    ],
)
async def test_who_may_not_come_in_is_told_why(
    path: str, protocols: list[str] | None, status: int, word: str
) -> None:
    events = RecordingEvents()
    async with running_csms(events, stations=frozenset({StationId("CP-1")})) as csms:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{csms.port}{path}", subprotocols=protocols)  # type: ignore[arg-type]
        assert refused.value.response.status_code == status
        assert word in refused.value.response.body.decode()
        async with raw_station(csms) as station:
            assert await station.still_served()
    assert events.names()[0] == "connected"


async def test_a_browser_is_told_that_this_is_for_websockets() -> None:
    async with running_csms(RecordingEvents()) as csms:
        reader, writer = await asyncio.open_connection("127.0.0.1", csms.port)
        writer.write(b"GET /ocpp/CP-1 HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert b" 426 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_compression_is_off_and_an_identity_may_be_percent_encoded() -> None:
    async with running_csms(RecordingEvents()) as csms, raw_station(csms, "A%7CB") as station:
        assert station.socket.protocol.extensions == []  # the client offered permessage-deflate
        assert station.socket.subprotocol == "ocpp1.6"
        await until_connected(csms, "A|B")


async def test_a_web_page_cannot_be_a_station() -> None:
    async with running_csms(RecordingEvents()) as csms:
        url = f"ws://127.0.0.1:{csms.port}/ocpp/CP-1"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, subprotocols=["ocpp1.6"], origin="https://page.example"):  # type: ignore[list-item, arg-type]
                pass
    assert refused.value.response.status_code == 403

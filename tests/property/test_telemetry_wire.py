"""What is sent is what is read, and what is acknowledged is exactly what was stored."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.telemetry import Ack, OperationState, TelemetryValue
from evmesh.telemetry.ranges import Acks, ack_topic, decode_ack, encode_ack, ranges_of
from evmesh.telemetry.topics import Reading, decode, encode, from_microseconds, microseconds, value_topic

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
names = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
instants = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis asks for naive bounds
numbers = st.integers(-(2**63), 2**63 - 1) | st.none()
texts = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=256)
contents = (
    st.tuples(st.sampled_from(["PowerOutput", "TotalEnergyConsumption", "StateOfCharge"]), numbers)
    | st.tuples(st.just("OperationState"), st.sampled_from(list(OperationState)).map(str))
    | st.tuples(st.just("ConnectedVehicle"), texts | st.none())
)
runs = st.tuples(names, st.integers(0, 2**62)) | st.just((None, None))


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    name, value = draw(contents)
    boot, seq = draw(runs)
    return Reading(TelemetryValue(draw(names), name, draw(instants), value), boot, seq)


@given(readings())
def test_every_reading_comes_back_with_the_same_identity(reading: Reading) -> None:
    read = decode(value_topic(reading.value.charger, reading.value.name), encode(reading))
    assert read == reading
    assert read.identity == reading.identity


@given(st.binary(max_size=200), st.text(max_size=60))
def test_nothing_that_arrives_raises_anything_but_a_protocol_violation(payload: bytes, topic: str) -> None:
    for at in (topic, "chargers/cp-1/PowerOutput"):
        with suppress(ProtocolViolation):
            decode(at, payload)


@given(instants)
def test_an_instant_survives_its_stored_form(instant: datetime) -> None:
    assert from_microseconds(microseconds(instant)) == instant


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_the_numbers_and_never_touch(numbers: set[int]) -> None:
    ranges = ranges_of(numbers)
    assert {number for first, last in ranges for number in range(first, last + 1)} == numbers
    assert all(earlier[1] + 1 < later[0] for earlier, later in pairwise(ranges))


@given(st.lists(readings(), max_size=30))
def test_every_numbered_reading_is_acknowledged_once_and_no_other(batch: list[Reading]) -> None:
    acks = Acks()
    for reading in batch:
        acks.add(reading)
    said = [
        (ack.charger, ack.boot, first)
        for ack in acks.take(NOW)
        for first, last in decode_ack(ack_topic(ack.charger), encode_ack(ack)).ranges
        if first == last or last - first < 100
    ]
    wanted = {(r.value.charger, r.boot, r.seq) for r in batch if r.boot is not None and r.seq}
    assert {(charger, boot, first) for charger, boot, first in said} <= wanted
    assert {key[:2] for key in wanted} == {key[:2] for key in said}
    assert acks.take(NOW) == []


def test_an_acknowledgement_is_what_the_design_says() -> None:
    ack = Ack("cp-1", "platform-1", ranges_of([1, 2, 3, 7]))
    assert encode_ack(ack) == b'{"boot":"platform-1","ranges":[[1,3],[7,7]]}'
    timed = replace(ack, at=NOW)
    assert encode_ack(timed) == b'{"boot":"platform-1","ranges":[[1,3],[7,7]],"at":"2026-06-01T08:00:00Z"}'
    assert decode_ack("ack/cp-1", encode_ack(timed)) == timed
    assert ack_topic("cp-1") == "ack/cp-1"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("ack/cp-1", b'{"boot":"a","ranges":[[3,1]]}'),
        ("ack/cp-1", b'{"boot":"a","ranges":[[1]]}'),
        ("ack/cp-1", b'{"boot":"a","ranges":[[-1,1]]}'),
        ("ack/cp-1", b"\xff"),
        ("ack/cp-1", b'{"boot":"a","ranges":[[0,9223372036854775808]]}'),
        ("ack/cp-1", b'{"boot":"a","ranges":[' + b"[1,2]," * 2_000 + b"[1,2]]}"),
        ("ack/cp-1", b'{"boot":"a","ranges":[],"at":"' + b"x" * 100_000 + b'"}'),
        ("ack/cp-1/x", b'{"boot":"a","ranges":[]}'),
        ("ack/", b'{"boot":"a","ranges":[]}'),
        ("chargers/cp-1", b'{"boot":"a","ranges":[]}'),
    ],
)
def test_a_malformed_acknowledgement_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_ack(topic, payload)

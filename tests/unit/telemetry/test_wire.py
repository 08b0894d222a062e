"""MQTT 3.1.1 packets in and out, byte by byte."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import ProtocolViolation
from evmesh.telemetry import wire
from evmesh.telemetry.topics import MAX_PAYLOAD_BYTES
from evmesh.telemetry.wire import Arrived

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
messages = st.lists(st.tuples(texts, st.binary(max_size=300), st.integers(1, 65_535)), max_size=8)


@given(messages, st.integers(1, 50))
def test_messages_come_out_whole_however_the_bytes_are_cut(
    sent: list[tuple[str, bytes, int]], step: int
) -> None:
    stream = b"".join(wire.publish(*one) for one in sent)
    packets, found = wire.Packets(), []
    for start in range(0, len(stream), step):
        some = packets.take(stream[start : start + step])
        found += [wire.arrived(flags, body) for _, flags, body in some]
    assert found == [Arrived(*one) for one in sent]


@given(st.lists(st.integers(0, 200_000), max_size=6), st.integers(1_000, 300_000))
def test_a_message_that_is_too_long_is_cut_and_the_next_is_whole(lengths: list[int], step: int) -> None:
    stream = b"".join(wire.publish("t", b"x" * length, 7) for length in lengths)
    packets, found = wire.Packets(), []
    for start in range(0, len(stream), step):
        found += [wire.arrived(flags, body) for _, flags, body in packets.take(stream[start : start + step])]
    assert [(one.topic, one.packet) for one in found] == [("t", 7)] * len(lengths)
    assert [len(one.payload) for one in found] == [min(length, MAX_PAYLOAD_BYTES + 1) for length in lengths]


def test_of_a_message_of_a_quarter_gigabyte_little_is_kept() -> None:
    packets = wire.Packets()
    head = b"\x32\xff\xff\xff\x7f" + b"\x00\x01t" + b"\x00\x07"  # as long as MQTT can say
    tracemalloc.start()
    found = list(packets.take(head))
    for _ in range(2**28 // 2**20):
        found += packets.take(bytes(2**20))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [flags for _, flags, _ in found[:1]] == [2]
    assert wire.arrived(*found[0][1:]).packet == 7
    assert most < 8 * 2**20


def test_packets_are_those_of_the_standard() -> None:
    assert wire.connect("a", 15) == b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x0f\x00\x01a"
    assert wire.subscribe(7, ("x/+",)) == b"\x82\x08\x00\x07\x00\x03x/+\x01"
    assert wire.puback(258) == b"\x40\x02\x01\x02"
    big = wire.publish("t", b"x" * 200, 1)
    assert big[:3] == b"\x32\xcd\x01"  # 205 bytes: 0x4d with the sign that more follows, then 1


def test_a_message_of_qos_0_wants_no_acknowledgement() -> None:
    assert wire.arrived(0b0001, b"\x00\x01tpayload") == Arrived("t", b"payload", 0)


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (0b0010, b"\x00\x01t"),
        (0b0010, b"\x00\x01t\x00\x00"),
        (0b0100, b"\x00\x01t\x00\x01"),
        (0b0000, b"\x00\x05t"),
        (0b0000, b"\x00\x01\xff"),
    ],
    ids=["no number", "number 0", "QoS 2", "cut", "no text"],
)
def test_a_message_that_is_none_is_a_violation(flags: int, body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        wire.arrived(flags, body)


def test_a_length_of_five_bytes_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation):
        list(wire.Packets().take(b"\x30\xff\xff\xff\xff\x01"))

"""MQTT 3.1.1 packets in and out, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import ProtocolViolation
from evmesh.telemetry import wire
from evmesh.telemetry.wire import Arrived

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
messages = st.lists(st.tuples(texts, st.binary(max_size=300), st.integers(1, 65_535)), max_size=8)


@given(messages, st.integers(1, 50))
def test_messages_come_out_whole_however_the_bytes_are_cut(
    sent: list[tuple[str, bytes, int]], step: int
) -> None:
    stream = b"".join(wire.publish(*one) for one in sent)
    buffer, found = bytearray(), []
    for start in range(0, len(stream), step):
        buffer += stream[start : start + step]
        found += [wire.arrived(flags, body) for _, flags, body in wire.take_packets(buffer)]
    assert found == [Arrived(*one) for one in sent]
    assert not buffer


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
        list(wire.take_packets(bytearray(b"\x30\xff\xff\xff\xff\x01")))

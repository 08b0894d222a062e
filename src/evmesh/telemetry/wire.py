"""MQTT 3.1.1 packets, as far as a subscriber needs them: bytes in, bytes out, no I/O.

The numbers in comments are sections of the OASIS standard.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from evmesh.domain.errors import ProtocolViolation
from evmesh.telemetry.topics import MAX_PAYLOAD_BYTES

CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
SUBACK: Final = 9
PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"

MOST_PACKET: Final = 2 + 65_535 + 2 + MAX_PAYLOAD_BYTES + 1
"""Bytes: the longest topic, a number, and a payload that is too long by one."""

MOST_TOPIC: Final = 1_024
"""Characters that are kept of a topic; those of ours are far shorter."""


class Arrived(NamedTuple):
    """A message from the broker; `packet` is 0 where it wants no acknowledgement (QoS 0)."""

    topic: str
    payload: bytes
    packet: int


class Packets:
    """Takes whole packets out of what a socket gives, and never holds more than a reading may be long.

    Of a packet that is longer than MOST_PACKET the beginning counts as all of it: a message so long is no
    reading, and the beginning has all that is needed to set it aside and to acknowledge it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0

    def take(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take bytes in; gives what is whole now, as (kind, flags, body). Raises ProtocolViolation."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        try:
            while end - start >= 2:
                length, at = _length(buffer, start + 1, end)
                if length < 0 or at + min(length, MOST_PACKET) > end:
                    return
                first, until = buffer[start], at + min(length, MOST_PACKET)
                start = min(at + length, end)
                self._skip = at + length - start
                yield first >> 4, first & 0x0F, bytes(buffer[at:until])
        finally:
            del buffer[:start]


def _length(buffer: bytearray, at: int, end: int) -> tuple[int, int]:
    """Read a packet's length (2.2.3), seven bits a byte; gives where its body begins, or -1 for a cut one."""
    length, shift = 0, 0
    while at < end:
        byte = buffer[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return length, at
        if shift > 21:
            raise _violation("a length of more than four bytes")
    return -1, at


def arrived(flags: int, body: bytes) -> Arrived:
    """Read a PUBLISH (3.3); what is longer than any of ours is cut. Raises ProtocolViolation."""
    behind = 2 + int.from_bytes(body[:2])
    qos = flags >> 1 & 3
    packet = int.from_bytes(body[behind : behind + 2]) if qos else 0
    payload = body[behind + 2 :] if qos else body[behind:]
    if len(body) < behind + (2 if qos else 0) or qos > 1 or (qos and not packet):
        raise _violation("a message that is cut, or of QoS 2, which nobody asked for")
    try:
        return Arrived(body[2:behind].decode()[:MOST_TOPIC], payload[: MAX_PAYLOAD_BYTES + 1], packet)
    except UnicodeDecodeError as error:
        raise _violation("a topic that is no text") from error


def connect(client_id: str, keepalive_s: int) -> bytes:
    """Write a CONNECT (3.1) that keeps its session."""
    head = _text("MQTT") + bytes((4, 0)) + keepalive_s.to_bytes(2)
    return _packet(0x10, head + _text(client_id))


def subscribe(packet: int, filters: Sequence[str]) -> bytes:
    """Write a SUBSCRIBE (3.8) with QoS 1."""
    return _packet(0x82, packet.to_bytes(2) + b"".join(_text(one) + b"\x01" for one in filters))


def publish(topic: str, payload: bytes, packet: int) -> bytes:
    """Write a PUBLISH (3.3) with QoS 1, not retained."""
    return _packet(0x32, _text(topic) + packet.to_bytes(2) + payload)


def puback(packet: int) -> bytes:
    """Write a PUBACK (3.4)."""
    return b"\x40\x02" + packet.to_bytes(2)


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2) + raw


def _packet(first: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((first,)) + digits + body


def _violation(what: str) -> ProtocolViolation:
    return ProtocolViolation("broker.bad_packet", f"the broker sent {what}")

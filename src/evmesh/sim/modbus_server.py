"""Modbus servers for simulated devices, over TCP and over a pseudo-terminal, that can misbehave.

From the Modbus Application Protocol Specification 1.1b3 and Modbus over Serial Line 1.02. Functions 1, 3, 4,
5, 6 and 16. What goes wrong on real lines is done on demand: silence, half an answer, a false checksum, an
exception, an answer that belongs to another question.
"""

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
_READS: Final = (3, 4)
_READ_COILS: Final = 1
_WRITE_COIL: Final = 5
_COIL_WORDS: Final = {0xFF00: True, 0x0000: False}
_WRITE_ONE: Final = 6
_WRITE_MANY: Final = 16
_MOST_READ: Final = 125
_SILENCE_S: Final = 0.02
"""What ends a frame on a serial line: 3.5 characters by the standard, more on this one."""


class RegisterError(Exception):
    """A request that the device answers with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Registers(Protocol):
    """What a simulated device has behind its line."""

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Give registers; raises RegisterError."""

    def write(self, address: int, words: list[int]) -> None:
        """Take registers; raises RegisterError."""


@runtime_checkable
class Coils(Protocol):
    """A device with relays; they count from 0."""

    coils: list[bool]


class Trouble(StrEnum):
    """What a line may do to one answer."""

    NONE = "none"
    SILENT = "silent"
    TRUNCATED = "truncated"
    CHECKSUM = "checksum"
    EXCEPTION = "exception"
    OTHER_UNIT = "other_unit"
    SHORT = "short"
    """One register fewer than was asked for, in a whole frame."""


@dataclass(slots=True)
class ModbusUnits:
    """The devices on one line, and the trouble that the line makes until it is told otherwise."""

    units: Mapping[int, Registers]
    trouble: Trouble = Trouble.NONE
    asked: int = 0
    """Requests that have come."""

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        """Give the answer to one request; None where the device says nothing."""
        self.asked += 1
        device = self.units.get(unit)
        if device is None or not pdu or self.trouble is Trouble.SILENT:
            return None
        if self.trouble is Trouble.EXCEPTION:
            return _exception(pdu[0], 4)
        try:
            answer = _serve(device, pdu)
        except RegisterError as error:
            return _exception(pdu[0], error.code)
        if self.trouble is Trouble.SHORT and pdu[0] in _READS:
            return bytes([answer[0], answer[1] - 2]) + answer[2:-2]
        return answer


def _serve(device: Registers, pdu: bytes) -> bytes:
    function = pdu[0]
    if function in (_READ_COILS, _WRITE_COIL) and isinstance(device, Coils) and len(pdu) == 5:
        return _serve_coils(device.coils, pdu)
    if function in _READS and len(pdu) == 5:
        address, count = struct.unpack(">HH", pdu[1:])
        if not 1 <= count <= _MOST_READ:
            raise RegisterError(ILLEGAL_VALUE)
        words = device.read(function, address, count)
        return struct.pack(f">BB{count}H", function, 2 * count, *words)
    if function == _WRITE_ONE and len(pdu) == 5:
        address, word = struct.unpack(">HH", pdu[1:])
        device.write(address, [word])
        return pdu
    if function == _WRITE_MANY and len(pdu) >= 6:
        address, count, size = struct.unpack(">HHB", pdu[1:6])
        if size != 2 * count or len(pdu) != 6 + size:
            raise RegisterError(ILLEGAL_VALUE)
        device.write(address, list(struct.unpack(f">{count}H", pdu[6:])))
        return pdu[:5]
    raise RegisterError(ILLEGAL_FUNCTION)


def _serve_coils(coils: list[bool], pdu: bytes) -> bytes:
    function, address, word = struct.unpack(">BHH", pdu)
    if function == _WRITE_COIL:
        if word not in _COIL_WORDS:
            raise RegisterError(ILLEGAL_VALUE)
        if address >= len(coils):
            raise RegisterError(ILLEGAL_ADDRESS)
        coils[address] = _COIL_WORDS[word]
        return pdu
    if not 1 <= word <= len(coils) - address:
        raise RegisterError(ILLEGAL_ADDRESS)
    packed = sum(1 << k for k, is_on in enumerate(coils[address : address + word]) if is_on)
    size = (word + 7) // 8
    return bytes([function, size]) + packed.to_bytes(size, "little")


def _exception(function: int, code: int) -> bytes:
    return bytes([function | 0x80, code])


@asynccontextmanager
async def serve_tcp(units: ModbusUnits, port: int = 0) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1, 0 is a free one; gives the port."""
    lines: set[asyncio.StreamWriter] = set()
    let_go = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.add(writer)
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, protocol, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                answer = units.answer(unit, pdu)
                if answer is None or protocol:
                    continue
                if units.trouble is Trouble.OTHER_UNIT:
                    transaction ^= 1  # TCP tells answers apart by their number
                frame = struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer
                writer.write(frame[:-3] if units.trouble is Trouble.TRUNCATED else frame)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            lines.discard(writer)
            let_go.set()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for line in lines:
                line.close()
            while lines:  # each handler finds its line closed
                let_go.clear()
                await let_go.wait()


@contextmanager
def serve_serial(units: ModbusUnits) -> Iterator[str]:
    """Serve RTU on a pseudo-terminal, in the running loop; gives the path of the device's end."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    pending = bytearray()

    loop = asyncio.get_running_loop()
    last_at = loop.time()

    def arrived() -> None:
        nonlocal last_at
        try:
            heard = os.read(ours, 512)
        except OSError:
            return  # nobody has the other end open
        if loop.time() - last_at > _SILENCE_S:
            pending.clear()
        last_at = loop.time()
        pending.extend(heard)
        while (size := _request_size(pending)) and len(pending) >= size:
            frame = bytes(pending[:size])
            del pending[:size]
            if crc16(frame[:-2]) != frame[-2:]:
                pending.clear()  # out of step: a real device waits for the next silence
                return
            answer = units.answer(frame[0], frame[1:-2])
            if answer is not None:
                os.write(ours, _rtu(units.trouble, frame[0], answer))

    loop.add_reader(ours, arrived)
    try:
        yield os.ttyname(theirs)
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)


def _rtu(trouble: Trouble, unit: int, answer: bytes) -> bytes:
    body = bytes([unit ^ 3 if trouble is Trouble.OTHER_UNIT else unit]) + answer
    check = crc16(body)
    if trouble is Trouble.CHECKSUM:
        check = bytes([check[0] ^ 0xFF, check[1]])
    frame = body + check
    return frame[:-3] if trouble is Trouble.TRUNCATED else frame


def _request_size(pending: bytearray) -> int:
    """Give the length of the request that begins here; 0 while it cannot be told."""
    if len(pending) < 7:
        return 0
    return 9 + pending[6] if pending[1] == _WRITE_MANY else 8


def crc16(data: bytes) -> bytes:
    """Give the checksum of a serial frame, low byte first (polynomial 0xA001, from all ones)."""
    check = 0xFFFF
    for byte in data:
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0xA001 if check & 1 else 0)
    return check.to_bytes(2, "little")

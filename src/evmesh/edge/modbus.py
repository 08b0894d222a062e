"""A Modbus line: one request at a time, whole answers or none.

Several devices may share a serial line. A line that went quiet is closed and opened anew at the next
request: a late answer is then never taken for the answer to another question.
"""

import asyncio
import logging
import struct
import termios
from collections.abc import Awaitable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from evmesh.domain.errors import InvalidInput, ProtocolViolation, Unavailable
from evmesh.edge.template import HOLDING, WRITE_ONE, LineRule

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what goes wrong is said by us, once

TIMEOUT_S: Final = 1.0
"""The slowest meter of the first set answers within 0.3 s."""

LATE_S: Final = 0.3
"""How long a serial line is left alone after an answer was given up: what comes late is thrown away then."""

TCP_PORT: Final = 502


@dataclass(frozen=True, slots=True)
class LineAddress:
    """Where a line is: a serial port, or a host with its port."""

    serial: str | None = None
    host: str | None = None
    port: int = TCP_PORT

    @classmethod
    def parse(cls, text: str) -> "LineAddress":
        """Read `/dev/ttyUSB0` or `tcp://host[:port]`. Raises InvalidInput `edge.bad_address`."""
        if text.startswith("/"):
            return cls(serial=text)
        host, _, port = text.removeprefix("tcp://").partition(":")
        if text.startswith("tcp://") and host and (not port or (port.isdecimal() and 0 < int(port) < 65_536)):
            return cls(host=host, port=int(port or TCP_PORT))
        raise InvalidInput(
            "edge.bad_address", f"{text!r} is no line", do="write /dev/ttyUSB0 or tcp://10.0.0.7:502"
        )


class ModbusLine:
    """One line with the devices on it."""

    def __init__(self, address: LineAddress, rule: LineRule, *, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self._rule = rule
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._client: AsyncModbusSerialClient | AsyncModbusTcpClient | None = None
        self._free_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the line; the next request opens it again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def read(self, unit: int, function: int, address: int, count: int) -> list[int]:
        """Give `count` registers. Raises Unavailable, and ProtocolViolation for a wrong answer."""
        async with self._turn:
            client = await self._open()
            ask = client.read_holding_registers if function == HOLDING else client.read_input_registers
            answer = await self._answer(ask(address, count=count, device_id=unit), unit, address)
            registers = list(answer.registers)
        if len(registers) != count:
            raise ProtocolViolation(
                "device.nonsense", f"unit {unit} gave {len(registers)} registers where {count} were asked for"
            )
        return registers

    async def write(self, unit: int, function: int, address: int, words: list[int]) -> None:
        """Set registers. Raises as `read` does."""
        async with self._turn:
            client = await self._open()
            if function == WRITE_ONE:
                call = client.write_register(address, words[0], device_id=unit)
            else:
                call = client.write_registers(address, words, device_id=unit)
            await self._answer(call, unit, address)

    async def read_coil(self, unit: int, address: int) -> bool:
        """Give one coil (function 1). Raises as `read` does."""
        async with self._turn:
            client = await self._open()
            answer = await self._answer(client.read_coils(address, count=1, device_id=unit), unit, address)
            bits = list(answer.bits)
        if not bits:
            raise ProtocolViolation("device.nonsense", f"unit {unit} gave no coil where one was asked for")
        return bool(bits[0])

    async def write_coil(self, unit: int, address: int, is_on: bool) -> None:
        """Switch one coil (function 5). Raises as `read` does."""
        async with self._turn:
            client = await self._open()
            await self._answer(client.write_coil(address, is_on, device_id=unit), unit, address)

    async def _answer(self, call: Awaitable[ModbusPDU], unit: int, address: int) -> ModbusPDU:
        cancels = _cancels()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await call
        except (ModbusException, TimeoutError, OSError) as error:
            await self.close()
            _end_if_told(cancels)
            raise Unavailable(
                "device.away",
                f"unit {unit} at {self._where()} does not answer",
                do="look at its line and power",
            ) from error
        except asyncio.CancelledError:
            # Its answer may still come, and on a serial line nothing tells it from the answer to the next.
            await self.close()
            raise
        finally:
            loop = asyncio.get_running_loop()
            is_late = self._client is None and self.address.serial is not None
            self._free_at = loop.time() + max(self._rule.pause_ms / 1000, LATE_S if is_late else 0.0)
        _end_if_told(cancels)
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            raise ProtocolViolation(
                "device.exception", f"unit {unit} refuses register 0x{address:04x} with exception {code}"
            )
        return answer

    async def _open(self) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._free_at - loop.time()))
        if self._client is not None and self._client.connected:
            return self._client
        await self.close()
        client = self._make()
        cancels = _cancels()
        try:
            async with asyncio.timeout(self._timeout_s):
                is_open = await client.connect()
        except (ModbusException, TimeoutError, OSError, termios.error):  # the last: a port without parity
            is_open = False
        except asyncio.CancelledError:
            client.close()  # it may be open already: its own waiting may end after it was told to
            raise
        if _cancels() > cancels:
            client.close()
        _end_if_told(cancels)
        if not is_open:
            client.close()
            raise Unavailable("device.away", f"nothing answers at {self._where()}", do="look at the line")
        self._client = client
        return client

    def _make(self) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        client = self._client_of_its_kind()
        take = client.ctx.callback_data

        def take_or_leave(data: bytes, addr: tuple[Any, ...] | None = None) -> int:
            try:
                return take(data, addr=addr)
            except (ModbusException, ValueError, IndexError, struct.error):
                # Nonsense in a whole frame is as good as no answer; the loop would log a traceback for each.
                client.close()
                return len(data)

        client.ctx.callback_data = take_or_leave  # type: ignore[method-assign]
        return client

    def _client_of_its_kind(self) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        # The client's own retries and reconnections are off: what is late is said, and asked again by us.
        if self.address.serial is not None:
            return AsyncModbusSerialClient(
                self.address.serial,
                baudrate=self._rule.baud,
                parity=self._rule.parity,
                timeout=2 * self._timeout_s,  # ours is the one that counts
                retries=0,
                reconnect_delay=0,
            )
        return AsyncModbusTcpClient(
            self.address.host or "",
            port=self.address.port,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
        )

    def _where(self) -> str:
        return self.address.serial or f"{self.address.host}:{self.address.port}"


def _end_if_told(cancels: int) -> None:
    """Raise the cancellation that came since there were `cancels` of them.

    The client waits with asyncio.wait_for, which on Python 3.11 swallows a cancellation that comes at the
    same moment as what it waits for (python/cpython#86296).
    """
    if _cancels() > cancels:
        raise asyncio.CancelledError


def _cancels() -> int:
    """Give how often the running task was told to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()

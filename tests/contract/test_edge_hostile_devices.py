"""Devices that mean harm, or are broken in ways that no datasheet has: nothing they say ends a gateway."""

import asyncio
import contextlib
import gzip
import os
import random
import struct
import sys
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Unavailable
from evmesh.domain.telemetry import Availability, Command, TelemetryValue, ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.device import Device
from evmesh.edge.mhcp import MhcpCharger
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.poller import Poller, PollRule
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.smartevse2 import SmartEvse2
from evmesh.edge.template import LineRule, load_template, parse_template
from evmesh.sim.mhcp import Amtron, Upset, serve_amtron
from evmesh.sim.modbus_devices import SunSpecDevice
from evmesh.sim.modbus_server import ModbusUnits, Registers, crc16, serve_tcp
from evmesh.sim.smartevse2 import ControllerV2, Nuisance, serve_controller
from tests.brokers import StepClock, running, until
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
STATE = ValueName.OPERATION_STATE
LIMIT = ValueName.MAXIMUM_OUTPUT_CURRENT
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(handle: Handler) -> AsyncIterator[int]:
    """A server that does as it likes; gives its port."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def head(length: int | str = "", more: str = "") -> bytes:
    size = f"Content-Length: {length}\r\n" if length != "" else ""
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{size}{more}\r\n".encode()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head())
    while not writer.is_closing():
        writer.write(b" " * 65_536)
        await writer.drain()


async def ten_megabytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head(10_000_000) + b"[" * 10_000_000)
    await writer.drain()


async def a_bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    packed = gzip.compress(bytes(20_000_000))
    writer.write(head(len(packed), "Content-Encoding: gzip\r\n") + packed)


async def false_gzip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head(3, "Content-Encoding: gzip\r\n") + b"abc")


async def deep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"x":' + b"[" * 60_000
    writer.write(head(len(body)) + body)


async def a_byte_at_a_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    for byte in head(10_000) + b" " * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


def saying(body: bytes) -> Handler:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(len(body)) + body)

    return say


@pytest.fixture
def as_deep_as_python() -> Iterator[None]:
    """Python's own limit of recursion, which libraries of other tests have raised."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)


WHOLE = b'{"ChgState":"Charging","ChgNrg":%s,"ActPwr":%s,"ActCurr":%s}'


@pytest.mark.parametrize(
    "handle",
    [
        *(endless, ten_megabytes, a_bomb, false_gzip, deep, a_byte_at_a_time),
        saying(WHOLE % (b"NaN", b"1", b"1")),
        saying(WHOLE % (b"1", b"Infinity", b"1")),
        saying(WHOLE % (b"1e400", b"1", b"1")),
        saying(WHOLE % (b"-1", b"1", b"1")),
        saying(WHOLE % (b"1", b"1", b"99999999999999999999")),
        saying(b"\xff\xfe" + WHOLE),
        saying(b"null"),
    ],
)
async def test_no_answer_of_a_charger_over_http_is_too_much(handle: Handler, as_deep_as_python: None) -> None:
    async with (
        answering(handle) as port,
        MhcpCharger("127.0.0.1", "4711", port=port, timeout_s=0.4) as charger,
    ):
        async with asyncio.timeout(3):  # which the slowest of them would outlast by far
            with pytest.raises((Unavailable, ProtocolViolation), match=r"device\."):
                await charger.read()


@pytest.mark.parametrize("template", ["eastron-sdm630", "abb-b23", "sunspec-inverter", "smartevse-3"])
async def test_whatever_a_modbus_device_answers_is_a_number_or_an_error_of_ours(template: str) -> None:
    draw = random.Random(template)
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await reader.readexactly(12)
            body = bytes([asked[6], draw.choice([asked[7], asked[7] | 0x80, draw.randrange(256)])])
            body += draw.choice([b"", bytes([draw.randrange(256)])]) + draw.randbytes(draw.randrange(260))
            length = draw.choice([len(body), len(body), 0, 1, 65_535])
            writer.write(asked[:4] + struct.pack(">H", length) + body)
            await writer.drain()

    async with (
        answering(nonsense) as port,
        ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=0.02) as line,
    ):
        device = RegisterDevice(load_template(template), line)
        for _ in range(60):
            with contextlib.suppress(EvmeshError):
                await device.read()
    assert complaints == []


async def test_a_flood_from_a_modbus_device_is_no_answer_and_is_not_kept() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(bytes(65_536))
            await writer.drain()

    async with (
        answering(flood) as port,
        ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=0.3) as line,
    ):
        with pytest.raises(Unavailable, match=r"device\.away"):
            await RegisterDevice(load_template("abb-b23"), line).read()


class Reaching(SunSpecDevice):
    """Its list of models leads to the last registers there are."""

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Give a list of one model that begins close to the end."""
        words = {
            40_000: 0x5375,
            40_001: 0x6E53,
            40_002: 1,
            40_003: 25_520,
            65_524: 103,
            65_525: 2,
            65_528: 0xFFFF,
        }
        return [words.get(address + k, 0) for k in range(count)]


async def test_a_list_of_models_that_leads_beyond_the_last_register_is_nonsense() -> None:
    async with reading(Reaching(), load_template("sunspec-inverter").id) as device:
        with pytest.raises(ProtocolViolation, match="beyond the last register"):
            await device.read()


@asynccontextmanager
async def reading(device: Registers, template: str) -> AsyncIterator[RegisterDevice]:
    async with (
        serve_tcp(ModbusUnits({1: device})) as port,
        ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=10) as line,
    ):
        yield RegisterDevice(load_template(template), line)


async def test_a_state_in_a_model_that_a_device_does_not_have_is_unknown() -> None:
    template = parse_template(
        "mine",
        '[device]\nmake = "A"\nmodel = "B"\nkind = "inverter"\ngrade = "bronze"\nsource = "none"\n'
        '[layout]\nbase = 40000\n[read.OperationState]\nmodel = 701\noffset = 4\ntype = "u16"\n'
        '[read.OperationState.words]\n1 = "off"\n',
    )
    async with (
        serve_tcp(ModbusUnits({1: SunSpecDevice(power_w=1)})) as port,
        ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=10) as line,
    ):
        assert await RegisterDevice(template, line).read() == {STATE: "unknown"}


@contextmanager
def late_meter(late_s: float) -> Iterator[tuple[str, list[int]]]:
    """A slow serial meter; each register holds its own address."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def arrived() -> None:
        with contextlib.suppress(OSError):
            request = os.read(ours, 512)
            address, count = struct.unpack(">HH", request[2:6])
            words = struct.pack(f">{count}H", *range(address, address + count))
            body = request[:2] + bytes([2 * count]) + words
            asked.append(address)
            loop.call_later(late_s * len(asked), os.write, ours, body + crc16(body))

    loop.add_reader(ours, arrived)
    try:
        yield os.ttyname(theirs), asked
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)


async def test_an_answer_that_comes_after_it_was_given_up_is_not_taken_for_the_next() -> None:
    with late_meter(late_s=0.25) as (path, asked):
        async with ModbusLine(LineAddress(serial=path), LineRule(), timeout_s=10) as line:
            given_up = asyncio.create_task(line.read(1, 4, 0x10, 2))
            await until(lambda: bool(asked))
            given_up.cancel()  # as the gateway gives up after half an interval
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert await line.read(1, 4, 0x40, 2) == [0x40, 0x41]
            assert asked == [0x10, 0x40]


@asynccontextmanager
async def polled(device: Device, rule: PollRule) -> AsyncIterator[tuple[Poller, dict[str, object]]]:
    """Poll a device; gives what was told last of each value."""
    told: dict[str, object] = {}

    async def put(values: Sequence[TelemetryValue]) -> None:
        told.update({one.name: one.value for one in values})

    poller = Poller("cp-1", device, rule, StepClock(), put)
    async with running(poller):
        yield poller, told


async def test_what_a_controller_did_while_it_was_not_heard_is_not_known_afterwards() -> None:
    controller = ControllerV2()
    with serve_controller(controller) as end:
        async with SmartEvse2(end.path) as device, polled(device, PollRule(0.4)) as (_, told):
            await until(lambda: told.get(LIMIT) == 16_000)
            end.change("C")
            await until(lambda: told.get(STATE) == "charging")
            controller.nuisance = Nuisance.SILENT
            await until(lambda: told.get(ValueName.AVAILABILITY) == Availability.OFFLINE)
            controller.pilot = "A"  # and nobody heard of it
            controller.nuisance = Nuisance.NONE
            await until(lambda: told.get(ValueName.AVAILABILITY) == Availability.ONLINE)
            assert told[STATE] == "unknown"


async def test_a_charger_that_hangs_while_it_is_made_safe_is_unknown_in_time() -> None:
    amtron = Amtron()
    rule = PollRule(interval_s=0.2, safe_current=Milliamp(6_000), safe_after_s=0.5)
    async with (
        serve_amtron(amtron) as port,
        MhcpCharger("127.0.0.1", "4711", port=port, timeout_s=30, pause_s=0) as charger,
    ):
        hanging = HangsWhenLimited(charger, amtron)
        async with polled(hanging, rule) as (_, told):
            await until(lambda: amtron.upset is Upset.HANGS)
            began = time.monotonic()
            await until(lambda: told.get(STATE) == "unknown")
            assert time.monotonic() - began < 5  # and not after the thirty seconds that it hangs


class HangsWhenLimited:
    """The driver, on a charger that hangs from its first limit on."""

    def __init__(self, charger: MhcpCharger, amtron: Amtron) -> None:
        self._charger = charger
        self._amtron = amtron
        self.values = charger.values
        self.identify = charger.identify
        self.read = charger.read
        self.close = charger.close

    async def limit(self, current: Milliamp) -> None:
        self._amtron.upset = Upset.HANGS
        await self._charger.limit(current)


async def test_a_charger_that_restarts_and_forgets_is_made_safe_again() -> None:
    amtron = Amtron()
    rule = PollRule(interval_s=0.2, safe_current=Milliamp(6_000), safe_after_s=0.5)
    async with (
        serve_amtron(amtron) as port,
        MhcpCharger("127.0.0.1", "4711", port=port, pause_s=0) as charger,
        polled(charger, rule) as (_, told),
    ):
        await until(lambda: told.get(LIMIT) == 6_000)
        amtron.remote_a = 16
        await until(lambda: told.get(LIMIT) == 16_000)
        await until(lambda: told.get(LIMIT) == 6_000)
        assert amtron.remote_a == 6


async def test_a_command_is_judged_by_the_clock_of_who_gave_it() -> None:
    clock = StepClock()
    amtron = Amtron()
    ahead = timedelta(days=1)
    command = Command("cp-1", LIMIT, "c-1", clock.instant + timedelta(seconds=60), 10_000)
    async with (
        serve_amtron(amtron) as port,
        MhcpCharger("127.0.0.1", "4711", port=port, pause_s=0) as charger,
    ):

        async def put(values: Sequence[TelemetryValue]) -> None:
            del values

        poller = Poller("cp-1", charger, PollRule(), StepClock(clock.instant + ahead), put)
        assert (await poller.obey(command)).code == "command.expired"
        again = Command("cp-1", LIMIT, "c-2", command.expires_at, 10_000)
        assert (await poller.obey(again, skew=ahead)).code == ""
    assert amtron.remote_a == 10

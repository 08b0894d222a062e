"""SmartEVSE v2 by its serial command line: settings on request, its state only when it changes.

115200 baud, 8N1. An empty line brings the menu with every setting and the prompt `>`; a setting's name
brings a question, and the value goes on a line of its own. What the pilot does comes unasked, as
`STATE A->B`: so after every connection the state is unknown until it changes.
Facts: github.com/SmartEVSE/smartevse, CLI.md and EVSE.c. Every setting is kept in EEPROM: one that is
there already is not written again.
"""

import asyncio
import re
from types import TracebackType
from typing import Final, Self, cast

import serial_asyncio_fast
from serial import SerialException

from evmesh.domain.errors import ProtocolViolation, Refused, Unavailable
from evmesh.domain.telemetry import OperationState, ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.device import Identity, Picture

BAUD: Final = 115_200
TIMEOUT_S: Final = 2.0
LEAST_CURRENT: Final = Milliamp(10_000)
"""Its MAX goes from 10 to 80 A. Less than that is the contactor's business, not the pilot's."""

MOST_CURRENT: Final = Milliamp(80_000)
_MOST_BUFFER: Final = 8_192
"""Of text that ends in no prompt: more is noise."""

_STATE: Final = re.compile(r"STATE ([A-F])->([A-F])[\r\n]+|Smart EVSE powerup\.?[\r\n]+")
"""A change of the pilot; or a new start of the controller, which makes it unknown."""

_SETTING: Final = re.compile(
    r"^(CONFIG|MODE|LOADBL|MAINS|MAX|MIN|CABLE|LOCK)\b.*-\s+(\S.*?)\s*$", re.MULTILINE
)
_TEMPERATURE: Final = re.compile(r"Internal Temperature:\s*(\d{1,3}) C")
_VERSION: Final = re.compile(r"^\s*v(\S+) for detailed", re.MULTILINE)
_AMPERES: Final = re.compile(r"(\d{1,3}) A")
_MENU: Final = ">"
_QUESTION: Final = ": "
_LIMITS: Final = "Error! please check limits"

_STATES: Final = {
    "A": OperationState.IDLE,
    "B": OperationState.IDLE,
    "C": OperationState.CHARGING,
    "D": OperationState.CHARGING,
    "E": OperationState.UNSCHEDULED_DOWNTIME,
    "F": OperationState.UNSCHEDULED_DOWNTIME,
}
"""IEC 61851-1: A no car, B a car, C and D energy may flow, E and F faults."""


class _Terminal(asyncio.Protocol):
    """What comes over the line: state changes are taken out of the text, the rest is answers."""

    def __init__(self) -> None:
        self.pilot: str | None = None
        self.lost = asyncio.Event()
        self._text = ""
        self._end = ""
        self._whole: asyncio.Future[str] | None = None

    def data_received(self, data: bytes) -> None:
        """Take text in; answers whoever waits once its prompt is there."""
        self._text += data.decode("latin-1")
        for change in _STATE.finditer(self._text):
            self.pilot = change[2]
        self._text = _STATE.sub("", self._text)[-_MOST_BUFFER:]
        if self._whole is not None and not self._whole.done() and self._text.endswith(self._end):
            self._whole.set_result(self._text)
            self._text = ""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what the pilot was: it may change unheard."""
        self.lost.set()
        self.pilot = None
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(ConnectionResetError("the line is gone"))

    def expect(self, end: str) -> asyncio.Future[str]:
        """Give the text up to `end`, from now on."""
        self._text = ""
        self._end = end
        self._whole = asyncio.get_running_loop().create_future()
        return self._whole


class SmartEvse2:
    """One controller. Use with `async with`."""

    def __init__(self, path: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._terminal: _Terminal | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._leaving: _Terminal | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def values(self) -> frozenset[ValueName]:
        """Which values this controller can tell; it measures no energy."""
        return frozenset({ValueName.OPERATION_STATE, ValueName.MAXIMUM_OUTPUT_CURRENT})

    @property
    def pilot(self) -> str | None:
        """The pilot's state, A to F; None until it was told."""
        return None if self._terminal is None else self._terminal.pilot

    async def identify(self) -> Identity:
        """Give its version."""
        async with self._turn:
            version = _VERSION.search(await self._say("", _MENU))
        return Identity("SmartEVSE", "SmartEVSE v2", version=version[1] if version else "")

    async def read(self) -> Picture:
        """Ask for the settings; the state is the last one that was told."""
        settings = await self.settings()
        pilot = self.pilot
        return {
            ValueName.OPERATION_STATE: OperationState.UNKNOWN if pilot is None else _STATES[pilot],
            ValueName.MAXIMUM_OUTPUT_CURRENT: _least_of(settings) * 1000,
        }

    async def settings(self) -> dict[str, str]:
        """Give every setting as the menu shows it: MAX, MIN, CABLE, LOCK, …, and TEMPERATURE in °C."""
        async with self._turn:
            return await self._menu()

    async def limit(self, current: Milliamp) -> None:
        """Let at most so much flow, in whole amperes; what is set already is not written again."""
        if current < LEAST_CURRENT:
            raise Refused(
                "device.limit_refused",
                f"a SmartEVSE v2 offers {LEAST_CURRENT // 1000} A or more, not {current} mA",
                do="open its contactor",
            )
        await self.set("MAX", str(min(current, MOST_CURRENT) // 1000))

    async def set(self, name: str, value: str) -> None:
        """Set MAX, MIN, CABLE (amperes), LOCK, CONFIG or MODE (its own words); raises Refused."""
        async with self._turn:
            before = await self._menu()
            if _same(before.get(name, ""), value):
                return
            if name not in before:
                raise Refused("device.limit_refused", f"it has no {name} in its present mode", path=name)
            await self._say(name, _QUESTION)
            answer = await self._say(value, _MENU)
        if _LIMITS in answer or not _same(_settings(answer).get(name, ""), value):
            raise Refused(
                "device.limit_refused", f"it does not take {name} {value}", do="look at its limits", path=name
            )

    async def close(self) -> None:
        """Let go of the line; the state is unknown from now on."""
        self._let_go()
        if self._leaving is not None:
            await self._leaving.lost.wait()  # only then can the port be opened again

    def _let_go(self) -> None:
        transport, terminal, self._transport, self._terminal = self._transport, self._terminal, None, None
        if transport is not None and terminal is not None:
            if not transport.is_closing():  # it closes itself where the line breaks, and must not twice
                transport.abort()
            self._leaving = terminal

    async def _menu(self) -> dict[str, str]:
        """Give the settings. A line that garbles them may have lost a change too: the state is unknown."""
        try:
            return _settings(await self._say("", _MENU))
        except ProtocolViolation:
            await self.close()
            raise

    async def _say(self, line: str, end: str) -> str:
        """Send a line and give what it brings, up to `end`."""
        terminal, transport = await self._open()
        whole = terminal.expect(end)
        try:
            transport.write(line.encode("ascii") + b"\r")
            async with asyncio.timeout(self._timeout_s):
                return await whole
        except (TimeoutError, OSError) as error:
            await self.close()
            raise self._away() from error
        except asyncio.CancelledError:
            # Given up by who asked: what it does from now on may go unheard, as after any other silence.
            self._let_go()
            raise

    async def _open(self) -> tuple[_Terminal, asyncio.WriteTransport]:
        if self._terminal is not None and self._transport is not None and not self._terminal.lost.is_set():
            return self._terminal, self._transport
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            opened = await serial_asyncio_fast.create_serial_connection(
                loop, _Terminal, self._path, baudrate=BAUD
            )
        except (SerialException, OSError) as error:
            raise self._away() from error
        self._transport, self._terminal = cast("tuple[asyncio.WriteTransport, _Terminal]", opened)
        return self._terminal, self._transport

    def _away(self) -> Unavailable:
        return Unavailable(
            "device.away", f"the controller at {self._path} does not answer", do="look at its line and power"
        )


def _settings(menu: str) -> dict[str, str]:
    found = {match[1]: match[2] for match in _SETTING.finditer(menu.replace("\r", ""))}
    temperature = _TEMPERATURE.search(menu)
    if "MAX" not in found or temperature is None or _AMPERES.fullmatch(found["MAX"]) is None:
        raise ProtocolViolation("device.nonsense", "what came back is no menu of a SmartEVSE v2")
    return {**found, "TEMPERATURE": temperature[1]}


def _least_of(settings: dict[str, str]) -> int:
    """Give the current that holds, in amperes: a fixed cable may carry less than MAX."""
    matches = (_AMPERES.fullmatch(settings.get(name, "")) for name in ("MAX", "CABLE"))
    return min(int(match[1]) for match in matches if match is not None)


def _same(shown: str, wanted: str) -> bool:
    amperes = _AMPERES.fullmatch(shown)
    return amperes[1] == wanted if amperes else bool(shown) and wanted.upper() in shown.upper()

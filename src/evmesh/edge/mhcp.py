"""Mennekes Amtron (Xtra, Premium, Compact) by its app's interface MHCP 1.0: plain HTTP beside the charger.

Facts: github.com/orlopau/amtron and lephisto/amtron (public domain). `ChgNrg` is the energy of the
session and no lifetime register; `ActCurr` is the current that is set, not one that was measured
(docs/adr/0024). The charger dislikes being asked often, and answers one request at a time.
"""

import asyncio
import ssl
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import httpx
import msgspec

from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.telemetry import OperationState, ValueName
from evmesh.domain.units import MIN_CURRENT, Milliamp
from evmesh.edge.device import Identity, Picture

PORT: Final = 25_000
TIMEOUT_S: Final = 5.0
PAUSE_S: Final = 0.5
"""Between two requests."""

MOST_CURRENT: Final = Milliamp(32_000)
MOST_BYTES: Final = 64 * 1024
"""Of one answer; the longest, a page of charge records, has a few kilobytes."""
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}

_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _ChargeData(msgspec.Struct):
    ChgState: str
    ChgNrg: _Whole
    ActPwr: _Whole
    ActCurr: Annotated[int, msgspec.Meta(ge=0, le=125)]


class _DevInfo(msgspec.Struct):
    DevName: str = ""
    ItemNo: str = ""
    Sn: int | str = ""
    Hcc3: str = ""


class _SetCurrent(msgspec.Struct):
    RemoteCurr: int


T = TypeVar("T", bound=msgspec.Struct)

_STATES: Final = {
    "Idle": OperationState.IDLE,
    "Charging": OperationState.CHARGING,
    "Paused": OperationState.IDLE,
    "StandbyConnect": OperationState.IDLE,
    "StandbyAuthorize": OperationState.IDLE,
    "Terminated": OperationState.IDLE,
}
_NO_CAR: Final = frozenset({"Idle"})


class MhcpCharger:
    """One charger. Use with `async with`."""

    def __init__(
        self, host: str, key: str, *, port: int = PORT, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S
    ) -> None:
        """`key` is the DevKey that came with the charger, there called APP-PIN."""
        self._client = httpx.AsyncClient(
            base_url=f"http://{host}:{port}/MHCP/1.0",
            headers=_HEADERS,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # knows nobody: these speak plain HTTP only
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
        )
        self._key = key
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._turn = asyncio.Lock()
        self._free_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def values(self) -> frozenset[ValueName]:
        """Which values this charger can tell; a lifetime register is not among them."""
        return frozenset(
            {
                ValueName.OPERATION_STATE,
                ValueName.POWER_OUTPUT,
                ValueName.SESSION_ENERGY,
                ValueName.MAXIMUM_OUTPUT_CURRENT,
            }
        )

    async def identify(self) -> Identity:
        """Give what the charger says it is."""
        info = await self._ask("GET", "/DevInfo", _DevInfo)
        return Identity("Mennekes", info.ItemNo or info.DevName, str(info.Sn), info.Hcc3)

    async def read(self) -> Picture:
        """Ask for everything once."""
        data = await self._ask("GET", "/ChargeData", _ChargeData)
        return {
            ValueName.OPERATION_STATE: _STATES.get(data.ChgState, OperationState.UNKNOWN),
            ValueName.POWER_OUTPUT: data.ActPwr,
            # With no car there is no session: what stays in the register is the last one's.
            ValueName.SESSION_ENERGY: None if data.ChgState in _NO_CAR else data.ChgNrg,
            ValueName.MAXIMUM_OUTPUT_CURRENT: data.ActCurr * 1000,
        }

    async def limit(self, current: Milliamp) -> None:
        """Let at most so much flow, in whole amperes, 0 for none; read back before it counts."""
        wanted = 0 if current < MIN_CURRENT else min(current, MOST_CURRENT) // 1000
        await self._ask("POST", "/ChargeData", None, {"RemoteCurr": wanted})
        held = await self._ask("GET", "/ChargeData", _SetCurrent)
        if held.RemoteCurr != wanted:
            raise Refused(
                "device.limit_refused",
                f"the charger holds {held.RemoteCurr} A where {wanted} A was set",
                do="set its mode to Remote in the charger's app",
            )

    async def close(self) -> None:
        """End the connection."""
        await self._client.aclose()

    async def _ask(
        self,
        method: Literal["GET", "POST"],
        path: str,
        kind: type[T] | None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        """Ask for one document, read as `kind`."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._free_at - loop.time()))
            try:
                async with asyncio.timeout(self._timeout_s):  # of the whole; httpx counts each read anew
                    status, content = await self._exchange(method, path, body)
            except (httpx.TimeoutException, TimeoutError) as error:
                raise _away("does not answer") from error
            except httpx.RemoteProtocolError as error:
                raise _away("broke off its answer") from error
            except httpx.TransportError as error:
                raise _away("cannot be reached") from error
            finally:
                self._free_at = loop.time() + self._pause_s
        _check_status(status)
        if kind is None:
            return None
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolViolation(
                "device.nonsense", f"{path} answered what is no {kind.__name__}"
            ) from error

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Send one request; gives status and body, which is never unpacked and never long."""
        content = bytearray()
        async with self._client.stream(method, path, params={"DevKey": self._key}, json=body) as answer:
            async for some in answer.aiter_raw():
                content += some
                if len(content) > MOST_BYTES:
                    raise ProtocolViolation(
                        "device.nonsense", f"{path} answers with more than {MOST_BYTES} bytes"
                    )
        return answer.status_code, bytes(content)


def _check_status(status: int) -> None:
    if status in (400, 401, 403):
        raise InvalidInput(
            "device.wrong_key",
            f"the charger answers {status}: it does not know this key",
            do="take the APP-PIN from the charger's papers",
        )
    if status != httpx.codes.OK:
        raise ProtocolViolation("device.nonsense", f"the charger answers with status {status}")


def _away(how: str) -> Unavailable:
    return Unavailable("device.away", f"the charger {how}", do="look at its network and its power")

"""The door of the simulation: where `evmesh sim` comes in, by a socket in the data directory.

A Unix socket that only the owner of the directory can open. One line of JSON in, one line out:
`{"do", …}` and `{"ok": true, …}` or `{"ok": false, "class", "code", "what", "do", "path"}`.
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from evmesh.domain.errors import (
    EvmeshError,
    IntegrityFailure,
    InvalidInput,
    ProtocolViolation,
    Refused,
    Unavailable,
)
from evmesh.domain.ids import Address
from evmesh.domain.money import parse_units
from evmesh.domain.units import W, Wh
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.token import Faucet
from evmesh.sim.guests import GuestCar, Guests
from evmesh.sim.places import Place

Json = dict[str, Any]
SOCKET: Final = "sim/door"
"""Below the data directory; `run.json` names it where the site is simulated."""

GAS_WEI: Final = 10**17
"""What one who asks for gas gets: some hundred transfers."""

_ANSWER_WITHIN_S: Final = 120.0
_CLASSES: Final = {
    one.__name__: one for one in (InvalidInput, Refused, Unavailable, ProtocolViolation, IntegrityFailure)
}


class DevFaucet:
    """Gives tokens of the development chain to anybody, and gas to who wants to send by itself."""

    def __init__(self, minter: Relayer, faucet: Faucet) -> None:
        self._minter = minter
        self._faucet = faucet

    async def give(self, account: Address, units: int, *, gas: bool) -> Json:
        """Mint, and wait until it is in a block."""
        purpose = secrets.token_hex(16)
        mined = await self._faucet.mint(account, units, f"door:{purpose}")
        if gas:
            await self._minter.submit(f"door-gas:{purpose}", account, b"", value=GAS_WEI)
        return {
            "address": account.text,
            "amount": str(units),
            "gas_wei": str(GAS_WEI if gas else 0),
            "transaction": mined.tx_hash,
        }


class SimDoor:
    """A service: answers until cancelled."""

    name = "sim-door"

    def __init__(self, data: Path, guests: Guests, faucet: DevFaucet) -> None:
        self._path = data / SOCKET
        self._guests = guests
        self._faucet = faucet
        self._orders: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "show": self._show,
            "faucet": self._give,
            "plug": self._plug,
            "unplug": self._unplug,
        }

    async def run(self) -> None:
        """Listen; a socket that a killed process left is replaced."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with _in_reach(self._path) as near:
            before = os.umask(0o177)
            try:
                listener.bind(near)
            finally:
                os.umask(before)
        server = await asyncio.start_unix_server(self._serve, sock=listener)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):  # who asked has gone, or sent no line
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Json:
        try:
            document = json.loads(line)
            order = self._orders.get(document.get("do", ""))
            if order is None:
                raise InvalidInput("sim.unknown_order", "the simulation does not know this")
            return {"ok": True, **await order(document)}
        except EvmeshError as error:
            said = {"code": error.code, "what": error.what, "do": error.do, "path": error.path}
            return {"ok": False, "class": type(error).__name__, **said}
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            what = {"code": "sim.malformed", "what": "this is no order", "do": "", "path": ""}
            return {"ok": False, "class": InvalidInput.__name__, **what}

    async def _show(self, document: Json) -> Json:
        return {"places": [_place(place) | {"who": who} for place, who in self._guests.places()]}

    async def _give(self, document: Json) -> Json:
        account, units = Address.parse(str(document["address"])), parse_units(document["amount"])
        return await self._faucet.give(account, units, gas=document.get("gas") is True)

    async def _plug(self, document: Json) -> Json:
        battery = document.get("battery_wh")
        guest = GuestCar(
            room=Wh(int(document["energy_wh"])),
            max_power=W(int(document["power_w"])),
            battery=None if battery is None else Wh(int(battery)),
        )
        return _place(self._guests.plug(str(document["code"]), guest))

    async def _unplug(self, document: Json) -> Json:
        place, received = self._guests.unplug(str(document["code"]))
        return _place(place) | {"received_wh": received}


async def wait_until_open(data: Path) -> None:
    """Return once the simulation of a data directory takes orders."""
    while True:
        with contextlib.suppress(OSError), _in_reach(data / SOCKET) as near:
            _, writer = await asyncio.open_unix_connection(near)
            writer.close()
            await writer.wait_closed()
            return
        await asyncio.sleep(0.05)


def order(data: Path, document: Json) -> Json:
    """Have the simulation of a data directory do something; gives its answer.

    Raises what it refuses as an error of the same class, Unavailable `sim.away` where nobody answers.
    """
    try:
        with socket.socket(socket.AF_UNIX) as line, _in_reach(data / SOCKET) as near:
            line.settimeout(_ANSWER_WITHIN_S)
            line.connect(near)
            line.sendall(json.dumps(document).encode() + b"\n")
            with line.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise Unavailable(
            "sim.away",
            f"the simulation in {data} does not answer",
            do="try again in a moment: it starts after the platform",
        ) from error
    if answer.pop("ok") is True:
        found: Json = answer
        return found
    kind = _CLASSES.get(answer["class"], Refused)
    raise kind(answer["code"], answer["what"], do=answer["do"], path=answer["path"])


def _place(place: Place) -> Json:
    rating = next(one.rating for one in place.station.config.connectors if one.number == place.number)
    return {"code": place.code, "name": place.name, "group": place.group, "rating_w": rating}


@contextmanager
def _in_reach(path: Path) -> Iterator[str]:
    """Give a short name for a socket: an address has room for 107 bytes, a path for more."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

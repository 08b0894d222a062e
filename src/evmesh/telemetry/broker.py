"""Which broker to start where nobody runs one, and how to know that it is there.

Mosquitto where it is installed, else the npm broker of `embedded/broker.mjs`. Both listen on 127.0.0.1
only, let everybody on this machine in, and keep what is retained and what is queued in a directory. This
module makes the command; whoever starts it keeps the child and ends it with SIGTERM.

What they keep when killed with -9: Mosquitto what it had at its last save, a few seconds ago; the npm
broker everything. What they keep through a power cut: the same, and the last seconds less.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from evmesh.domain.errors import Unavailable

LOOPBACK: Final = "127.0.0.1"
NODE_AT_LEAST: Final = 20
AUTOSAVE_S: Final = 5

_SBIN: Final = ("/usr/sbin", "/usr/local/sbin")
"""Debian keeps mosquitto here, and an ordinary user's PATH does not."""

_ROOT: Final = Path(__file__).parents[3]
_SCRIPT: Final = _ROOT / "embedded" / "broker.mjs"

Kind = Literal["mosquitto", "aedes"]


@dataclass(frozen=True, slots=True)
class BrokerCommand:
    """What to start, and where it will listen."""

    argv: tuple[str, ...]
    kind: Kind
    port: int
    host: str = LOOPBACK


def broker_command(directory: Path, port: int = 0, *, kind: Kind | None = None) -> BrokerCommand:
    """Prepare `directory` (made if missing) and give the command of a broker that keeps its state there.

    `port` 0 takes a free one. `kind` asks for one of the two; else Mosquitto goes first. The directory of
    one kind is of no use to the other, so each has its own below `directory`. Raises Unavailable
    `broker.not_found`.
    """
    port = port or _free_port()
    found = _mosquitto(directory, port) if kind != "aedes" else None
    if found is None and kind != "mosquitto":
        found = _aedes(directory, port)
    if found is None:
        raise Unavailable(
            "broker.not_found",
            f"there is no {kind or 'MQTT broker'} to start on this machine",
            do="install Mosquitto (apt-get install mosquitto), or Node 20 and `npm ci` in evmesh's clone",
        )
    return found


async def wait_until_listening(port: int, host: str = LOOPBACK, *, within_s: float = 10.0) -> None:
    """Return once a broker there accepts an MQTT connection.

    Raises Unavailable `broker.not_listening` when none has after `within_s` seconds.
    """
    error = "no answer"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await _greet(host, port)
                except (OSError, asyncio.IncompleteReadError) as refused:
                    error = str(refused)
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise Unavailable(
            "broker.not_listening",
            f"no MQTT broker answers on {host}:{port} after {within_s:g} s ({error})",
            do="look at what the broker printed",
        ) from None


async def _greet(host: str, port: int) -> None:
    """Connect and leave again; raises OSError unless the answer is a CONNACK that says yes."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        # MQTT 3.1.1 section 3.1, CONNECT: protocol name and level, clean session, 5 s, no client id.
        writer.write(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00")
        answer = await reader.readexactly(4)
        if answer[:2] != b"\x20\x02" or answer[3]:
            raise OSError(f"not the answer of a broker: {answer.hex()}")
        writer.write(b"\xe0\x00")  # DISCONNECT
        await writer.drain()
    finally:
        writer.close()


def _mosquitto(directory: Path, port: int) -> BrokerCommand | None:
    program = shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN)))
    if program is None:
        return None
    home = directory / "mosquitto"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "mosquitto.conf"
    config.write_text(_mosquitto_config(home.resolve(), port))
    return BrokerCommand((program, "-c", str(config)), "mosquitto", port)


def _mosquitto_config(home: Path, port: int) -> str:
    lines = [
        "# Written by evmesh at every start: changes are lost.",
        f"listener {port} {LOOPBACK}",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {home}/",
        f"autosave_interval {AUTOSAVE_S}",
        # Mosquitto's own are 1,000 queued and 20 under way: a longer outage of a subscriber would lose
        # messages, and one that acknowledges after a commit would get batches of 20.
        "max_queued_messages 1000000",
        "max_inflight_messages 1000",
        "persistent_client_expiration 30d",
        "sys_interval 0",
        "connection_messages false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # it would become the user mosquitto, who may not write here
    return "\n".join([*lines, ""])


def _aedes(directory: Path, port: int) -> BrokerCommand | None:
    node = _node()
    if node is None or not _SCRIPT.exists() or not (_ROOT / "node_modules" / "aedes").exists():
        return None
    home = directory / "aedes"
    home.mkdir(parents=True, exist_ok=True)
    return BrokerCommand((node, str(_SCRIPT), "--directory", str(home), "--port", str(port)), "aedes", port)


def _node() -> str | None:
    """Give a Node that is new enough: the machine's own, else the one beside this Python."""
    for program in (shutil.which("node"), shutil.which("node", path=str(Path(sys.executable).parent))):
        if program is None:
            continue
        told = subprocess.run((program, "--version"), capture_output=True, text=True, check=False).stdout
        major = told.strip().removeprefix("v").partition(".")[0]
        if major.isdecimal() and int(major) >= NODE_AT_LEAST:
            return program
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])

"""A free port of this machine that stays free while the process that has it is being restarted."""

import random
import socket
from pathlib import Path
from typing import Final

from evmesh.domain.errors import Refused

_FIRST: Final = 20_000
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES: Final = 1_000
_given: set[int] = set()


def free_port() -> int:
    """Give one that nobody listens on, and that was not given before.

    It lies below the ports that the system gives to outgoing connections: one of these may take any such
    port in the moment in which a killed process has left it. Raises Refused `port.none`.
    """
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _first_outgoing())  # noqa: S311 - nothing depends on who guesses it
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise Refused("port.none", "no port is free on this machine", do="end programs that listen on many")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _first_outgoing() -> int:
    """Give the first port of outgoing connections; Linux's own default elsewhere."""
    try:
        first = int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return max(first, _FIRST + 1_000)

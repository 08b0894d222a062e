"""Where an MQTT broker is, as people write it: `mqtt://HOST:PORT`, or `mqtts://` with TLS."""

import re
from dataclasses import dataclass
from typing import Final, Self

from evmesh.domain.errors import InvalidInput

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_URL: Final = re.compile(r"(mqtts?)://(?:\[([0-9A-Fa-f:.]+)\]|([^/:@?#\[\]\s]+))(?::([0-9]{1,5}))?/?")
_MOST_PORT: Final = 65_535
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker's host and port, and whether it is spoken to over TLS."""

    host: str
    port: int
    is_secure: bool

    @classmethod
    def parse(cls, url: str, code: str, path: str = "") -> Self:
        """Read it, the usual port where none is said; raises InvalidInput `code` at `path`."""
        found = _URL.fullmatch(url)
        if found is None or not 0 < int(found[4] or 1) <= _MOST_PORT:
            raise InvalidInput(
                code,
                f"{url[:_SHOWN]!r} is no broker",
                do="write mqtts://broker.example:8883, or mqtt://127.0.0.1:1883 on this machine",
                path=path,
            )
        scheme, port = found[1], int(found[4] or _PORTS[found[1]])
        return cls(found[2] or found[3], port, scheme == "mqtts")

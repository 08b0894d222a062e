"""`DIR/run.json`: where the parts of a running platform find each other."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import get_origin

from evmesh.domain.canonical import refuse_deep_nesting
from evmesh.domain.errors import InvalidInput, Unavailable


@dataclass(frozen=True, slots=True)
class RunFile:
    """Ports and addresses of one run; all servers listen on loopback."""

    pid: int
    site: str
    speed: int
    http_port: int
    ocpp_port: int
    mqtt_port: int
    rpc_url: str
    clock: str
    sim: str = ""
    """The door of the simulation, a socket in the data directory; empty where the site is a real one."""

    devices: dict[str, int] = field(default_factory=dict)
    """The ports of simulated devices, by name."""

    @property
    def http_url(self) -> str:
        """Where the API and the page are."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ocpp_url(self) -> str:
        """Where stations connect, without their identity."""
        return f"ws://127.0.0.1:{self.ocpp_port}/ocpp"

    def save(self, data: Path) -> None:
        """Write it in one step."""
        fresh = data / "run.json.new"
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(data / "run.json")

    @classmethod
    def load(cls, data: Path) -> "RunFile":
        """Read it; raises Unavailable `platform.not_running`."""
        try:
            raw = (data / "run.json").read_bytes()
            refuse_deep_nesting(raw)
            found = cls(**json.loads(raw))
            for field in fields(cls):
                if type(getattr(found, field.name)) is not (get_origin(field.type) or field.type):
                    raise TypeError(f"{field.name} is no {field.type}")
            return found
        except (OSError, ValueError, TypeError, InvalidInput) as error:
            raise Unavailable(
                "platform.not_running", f"nothing runs in {data}", do="start it with `evmesh up`"
            ) from error

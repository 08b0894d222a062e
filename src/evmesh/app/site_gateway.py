"""The gateway that `evmesh up` runs beside the platform: chargers that are only looked at, simulated PV."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from evmesh.app.config import SiteConfig
from evmesh.app.run_file import RunFile
from evmesh.app.sim_equipment import DRIVERS, simulated_equipment
from evmesh.app.sim_hardware import pin_of
from evmesh.app.site_parts import ObservedConfig
from evmesh.domain.units import current_from_watts
from evmesh.sim.config import SimEquipment

GATEWAY: Final = "site-gateway"
"""Its name among the chargers."""

_FILE: Final = Path("edge") / "gateway.toml"
_INTERVAL_S: Final = 2.0
"""The charger dislikes to be asked often."""

_NEVER_S: Final = 86_400
"""Nobody ever speaks to a charger that is only looked at; what it holds then is what it may draw."""

_PHASES: Final = 3


def gateway_argv(data: Path) -> tuple[str, ...]:
    """Give the command of `evmesh edge` for the file that `write_gateway` makes."""
    return (sys.executable, "-m", "evmesh.app.gateway", str(data / _FILE))


def write_gateway(data: Path, site: SiteConfig, run: RunFile) -> bool:
    """Write the gateway's own site file; False where the site has nothing to look at."""
    devices = [line for one in site.observed() for line in _device(data, run, one)]
    devices += [line for one in simulated_equipment(site, run) for line in _equipment(one)]
    if not devices:
        return False
    text = "\n".join([*_head(data, run), *devices])
    path = data / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return True


def _head(data: Path, run: RunFile) -> Iterator[str]:
    yield "# Written by `evmesh up` at each start."
    yield "[gateway]"
    yield f"name = {_text(GATEWAY)}"
    yield f"broker = {_text(f'mqtt://127.0.0.1:{run.mqtt_port}')}"
    yield f"clock = {_text(str((data / run.clock).absolute()))}"


def _device(data: Path, run: RunFile, one: ObservedConfig) -> Iterator[str]:
    host, port = ("127.0.0.1", run.devices[one.name]) if one.simulated else (one.host, one.port)
    key_file = one.key_file or pin_of(data, one.name)
    yield ""
    yield "[[device]]"
    yield f"name = {_text(one.name)}"
    yield 'driver = "mennekes-mhcp"'
    yield f"line = {_text(f'{host}:{port}')}"
    yield f"key_file = {_text(str(key_file.absolute()))}"
    yield f"interval_s = {_INTERVAL_S}"
    yield f"safe_current_ma = {min(80_000, current_from_watts(one.rating, _PHASES))}"
    yield f"safe_after_s = {_NEVER_S}"


def _equipment(one: SimEquipment) -> Iterator[str]:
    yield ""
    yield "[[device]]"
    yield f"name = {_text(one.name)}"
    yield f"driver = {_text(DRIVERS[one.kind])}"
    yield f"line = {_text(f'tcp://127.0.0.1:{one.port}')}"
    yield "unit = 1"


def _text(value: str) -> str:
    return json.dumps(value)  # a TOML basic string has JSON's escapes

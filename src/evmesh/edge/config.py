"""The gateway's site file: which broker, which devices, on which lines."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from evmesh.domain.broker_address import BrokerAddress
from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import ValueName
from evmesh.domain.units import MIN_CURRENT, Milliamp
from evmesh.edge.changes import DEAD_BANDS
from evmesh.edge.outbox import MOST_BYTES
from evmesh.edge.poller import PollRule
from evmesh.edge.smartevse2 import LEAST_CURRENT
from evmesh.edge.template import template_ids

MHCP: Final = "mennekes-mhcp"
SMARTEVSE2: Final = "smartevse-2"

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,64}$")]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class _Gateway(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    broker: str
    outbox: str = "outbox.db"
    authority: str = ""
    certificate: str = ""
    key: str = ""
    clock: str = ""
    most_mib: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = MOST_BYTES // 2**20


class _Device(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    driver: str
    line: str
    unit: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    key_file: str = ""
    interval_s: _Positive = 1.0
    safe_current_ma: Annotated[int, msgspec.Meta(ge=0, le=80_000)] | None = None
    safe_after_s: _Positive = 300.0
    dead_bands: dict[str, Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]] = {}


class _Site(msgspec.Struct, forbid_unknown_fields=True):
    gateway: _Gateway
    device: Annotated[list[_Device], msgspec.Meta(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One device: its driver, and where it is."""

    name: str
    driver: str
    line: str
    unit: int | None
    key_file: Path | None
    rule: PollRule


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One gateway. `tls` are the paths of authority, certificate and key; None for a plain line."""

    name: str
    host: str
    port: int
    outbox: Path
    most_bytes: int
    tls: tuple[Path, Path, Path] | None
    devices: tuple[DeviceConfig, ...]
    clock: Path | None = None
    """Where a platform's own time is, for a gateway beside it; None: the machine's."""


def drivers() -> list[str]:
    """Give the names that `driver` may have."""
    return sorted([*template_ids(), MHCP, SMARTEVSE2])


def load_gateway(path: Path) -> GatewayConfig:
    """Read a gateway's site file; its paths are beside it. Raises InvalidInput with the place."""
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise InvalidInput("edge.no_site", f"there is no {path}", path="--site") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("edge.bad_site", f"{path} cannot be read: {error}", path="--site") from error
    return parse_gateway(raw, path.parent)


def parse_gateway(raw: dict[str, Any], beside: Path) -> GatewayConfig:
    """Check a gateway's site file that was read."""
    try:
        site = msgspec.convert(raw, _Site)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise InvalidInput("edge.bad_site", what, path=where.strip(".`") or "the file") from error
    one = site.gateway
    broker = BrokerAddress.parse(one.broker, "edge.bad_site", "gateway.broker")
    files = (one.authority, one.certificate, one.key)
    if broker.is_secure != all(files) or any(files) != all(files):
        raise InvalidInput(
            "edge.bad_site",
            "mqtts:// needs authority, certificate and key, and mqtt:// has none of them",
            path="gateway.broker",
        )
    names = [device.name for device in site.device]
    for number, name in enumerate(names):
        if name in names[:number] or name == one.name:
            raise InvalidInput("edge.bad_site", f"{name} is there twice", path=f"device[{number}].name")
    return GatewayConfig(
        one.name,
        broker.host,
        broker.port,
        beside / one.outbox,
        one.most_mib * 2**20,
        (beside / one.authority, beside / one.certificate, beside / one.key) if broker.is_secure else None,
        tuple(_device(device, f"device[{number}]", beside) for number, device in enumerate(site.device)),
        beside / one.clock if one.clock else None,
    )


def _device(device: _Device, path: str, beside: Path) -> DeviceConfig:
    if device.driver not in drivers():
        raise InvalidInput(
            "edge.bad_site",
            f"there is no driver {device.driver!r}",
            do=f"use one of {', '.join(drivers())}",
            path=f"{path}.driver",
        )
    if (device.driver == MHCP) != bool(device.key_file):
        raise InvalidInput(
            "edge.bad_site", f"key_file is for {MHCP}, which needs it", path=f"{path}.key_file"
        )
    rule = PollRule(
        device.interval_s, _safe_current(device, path), device.safe_after_s, _dead_bands(device, path)
    )
    key_file = beside / device.key_file if device.key_file else None
    return DeviceConfig(device.name, device.driver, device.line, device.unit, key_file, rule)


def _safe_current(device: _Device, path: str) -> Milliamp:
    """Give the safe current: one that the device can hold."""
    least = LEAST_CURRENT if device.driver == SMARTEVSE2 else Milliamp(0)
    if device.safe_current_ma is None:
        return max(MIN_CURRENT, least)
    if device.safe_current_ma < least:
        raise InvalidInput(
            "edge.bad_site",
            f"a {device.driver} offers {least} mA or more",
            do="write so much, or build it into a station with a contactor",
            path=f"{path}.safe_current_ma",
        )
    return Milliamp(device.safe_current_ma)


def _dead_bands(device: _Device, path: str) -> dict[ValueName, int]:
    """Give the dead-bands: the usual ones, and those of the file over them."""
    for name in device.dead_bands:
        if name not in tuple(ValueName):
            raise InvalidInput("edge.bad_site", f"{name} is no value", path=f"{path}.dead_bands.{name}")
    return {**DEAD_BANDS, **{ValueName(name): band for name, band in device.dead_bands.items()}}

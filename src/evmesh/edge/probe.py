"""Finds out what answers on a line: tries every template on every unit, and says what it read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evmesh.domain.errors import EvmeshError, InvalidInput, ProtocolViolation, Unavailable
from evmesh.domain.telemetry import OperationState
from evmesh.edge.config import MHCP
from evmesh.edge.device import Picture
from evmesh.edge.mhcp import MhcpCharger
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.smartevse2 import SmartEvse2
from evmesh.edge.template import Template, load_template, template_ids

TIMEOUT_S: Final = 0.3
HTTP_TIMEOUT_S: Final = 2.0
BAUDS: Final = (9_600, 19_200, 38_400)


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered as its driver expects."""

    driver: str
    unit: int | None
    baud: int | None
    picture: Picture


async def probe_host(host: str, units: Sequence[int]) -> AsyncIterator[Found]:
    """Give what answers at a host: a Mennekes, which says that it wants its key, or devices on Modbus TCP."""
    async with MhcpCharger(host, "", timeout_s=HTTP_TIMEOUT_S) as charger:
        try:
            await charger.identify()
        except InvalidInput:
            yield Found(MHCP, None, None, {})
        except EvmeshError:
            pass
        else:
            yield Found(MHCP, None, None, {})
    async for found in probe(LineAddress(host=host), units):
        yield found


async def probe(address: LineAddress, units: Sequence[int]) -> AsyncIterator[Found]:
    """Give what answers, as it is found. A device that fits several templates is given for each."""
    if address.serial is not None:
        async with SmartEvse2(address.serial, timeout_s=TIMEOUT_S) as controller:
            try:
                yield Found("smartevse-2", None, None, await controller.read())
            except (Unavailable, ProtocolViolation):
                pass
            else:
                return  # nothing else shares a terminal's line
    templates = [load_template(id) for id in template_ids()]
    for baud, parity in _wires(address, templates):
        for unit in units:
            async for found in _at(address, [replace_wires(t, baud, parity) for t in templates], unit):
                yield replace(found, baud=baud if address.serial else None)


def replace_wires(template: Template, baud: int, parity: str) -> Template:
    """Give the template as it would be on a line with this baud and parity."""
    return replace(template, line=replace(template.line, baud=baud, parity=parity))


def _wires(address: LineAddress, templates: Sequence[Template]) -> list[tuple[int, str]]:
    if address.serial is None:
        return [(9_600, "N")]
    # Without parity first: a port that has none keeps itself locked for a while after it was asked for one.
    parities = sorted({template.line.parity for template in templates}, key=lambda one: (one != "N", one))
    return [(baud, parity) for parity in parities for baud in BAUDS]


async def _at(address: LineAddress, templates: Sequence[Template], unit: int) -> AsyncIterator[Found]:
    for template in templates:
        async with ModbusLine(address, template.line, timeout_s=TIMEOUT_S) as line:
            try:
                picture = await RegisterDevice(template, line, unit).read()
            except Unavailable:
                if address.serial is not None:
                    return  # nobody has this unit: the other templates need not wait for it
                continue
            except EvmeshError:
                continue
        if any(value not in (None, 0, OperationState.UNKNOWN) for value in picture.values()):
            yield Found(template.id, unit, None, picture)

"""Makes the parts of a station of their configuration; those on one Modbus line share it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.edge.config import SMARTEVSE2
from evmesh.edge.contactor import CoilContactor
from evmesh.edge.led import SysfsLed
from evmesh.edge.modbus import TIMEOUT_S, LineAddress, ModbusLine
from evmesh.edge.parts_config import PartsConfig
from evmesh.edge.pilot import PilotController, SmartEvse2Pilot, SmartEvse3Pilot
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.smartevse2 import SmartEvse2
from evmesh.edge.station_eyes import Parts
from evmesh.edge.template import LineRule, load_template

SMARTEVSE3: Final = "smartevse-3"
_METER: Final = "meter"


@asynccontextmanager
async def open_parts(config: PartsConfig, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Parts]:
    """Give the parts; no line is opened before it is needed. Raises InvalidInput with the place."""
    lines: dict[LineAddress, ModbusLine] = {}
    async with AsyncExitStack() as stack:

        async def line_at(text: str, rule: LineRule) -> ModbusLine:
            address = LineAddress.parse(text)
            if address not in lines:
                lines[address] = await stack.enter_async_context(
                    ModbusLine(address, rule, timeout_s=timeout_s)
                )
            return lines[address]

        template = load_template(config.meter.driver)
        if template.kind != _METER:
            raise InvalidInput("station.bad_part", f"{template.id} is no meter", path="meter.driver")
        meter = RegisterDevice(template, await line_at(config.meter.line, template.line), config.meter.unit)
        controller: PilotController
        if config.controller.driver == SMARTEVSE2:
            device = SmartEvse2(config.controller.line, timeout_s=timeout_s)
            controller = SmartEvse2Pilot(await stack.enter_async_context(device))
        elif config.controller.driver == SMARTEVSE3:
            rule = load_template(SMARTEVSE3).line
            controller = SmartEvse3Pilot(await line_at(config.controller.line, rule), config.controller.unit)
        else:
            raise InvalidInput(
                "station.bad_part",
                f"{config.controller.driver} is no pilot controller",
                do=f"use {SMARTEVSE2} or {SMARTEVSE3}",
                path="controller.driver",
            )
        coil = config.contactor
        contactor = None
        if coil is not None:
            contactor = CoilContactor(await line_at(coil.line, template.line), coil.unit, coil.coil)
        yield Parts(controller, meter, contactor, None if config.lamp is None else SysfsLed(config.lamp))

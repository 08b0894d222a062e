"""Makes devices of their configuration; those on one line share it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from evmesh.domain.errors import InvalidInput
from evmesh.edge.config import MHCP, SMARTEVSE2, DeviceConfig
from evmesh.edge.device import Device
from evmesh.edge.mhcp import PORT, MhcpCharger
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.smartevse2 import SmartEvse2
from evmesh.edge.storage_device import StorageDevice
from evmesh.edge.template import load_template


@asynccontextmanager
async def open_devices(configs: Sequence[DeviceConfig]) -> AsyncIterator[list[Device]]:
    """Give the devices in order; no line is opened before it is needed."""
    lines: dict[LineAddress, ModbusLine] = {}
    async with AsyncExitStack() as stack:
        devices: list[Device] = []
        for config in configs:
            if config.driver == MHCP:
                devices.append(await stack.enter_async_context(_mhcp(config)))
            elif config.driver == SMARTEVSE2:
                devices.append(await stack.enter_async_context(SmartEvse2(config.line)))
            else:
                template = load_template(config.driver)
                address = LineAddress.parse(config.line)
                if address not in lines:
                    lines[address] = await stack.enter_async_context(ModbusLine(address, template.line))
                made = RegisterDevice if template.control is None else StorageDevice
                devices.append(made(template, lines[address], config.unit))
        yield devices


def _mhcp(config: DeviceConfig) -> MhcpCharger:
    host, _, port = config.line.removeprefix("http://").rstrip("/").partition(":")
    if not host or (port and not port.isdecimal()):
        raise InvalidInput("edge.bad_address", f"{config.line!r} is no host", do="write 10.0.0.7")
    return MhcpCharger(host, _key(config.key_file), port=int(port or PORT))


def _key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "edge.no_key",
            f"{path} cannot be read: {error.strerror if isinstance(error, OSError) else error}",
            do="write the charger's APP-PIN into it, one line",
            path="key_file",
        ) from error

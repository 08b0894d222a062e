"""The process of `evmesh edge --site FILE`: a gateway and nothing else, so that it fits beside a charger."""

import sys
from pathlib import Path

from evmesh.app.clock import SharedClock, WallClock
from evmesh.app.running import run_until_signal
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.nouns import counted
from evmesh.edge.config import load_gateway
from evmesh.edge.devices import open_devices
from evmesh.edge.gateway import Gateway
from evmesh.edge.outbox import Outbox
from evmesh.edge.poller import Poller
from evmesh.ports import Clock
from evmesh.telemetry.connection import MqttConfig, TlsFiles
from evmesh.telemetry.topics import new_boot
from evmesh.telemetry.uplink import MqttUplink


def _clock(path: Path | None) -> Clock:
    if path is None:
        return WallClock()
    try:
        return SharedClock(path)
    except (OSError, ValueError) as error:
        raise Unavailable(
            "edge.no_clock", f"no platform's time is at {path}: {error}", do="start the platform first"
        ) from error


async def serve(site: Path) -> None:
    """Run the gateway of a site file until it is cancelled."""
    config = load_gateway(site)
    clock = _clock(config.clock)
    boot = new_boot(config.name)
    tls = None if config.tls is None else TlsFiles(*config.tls)
    mqtt = MqttConfig(config.host, config.port, tls=tls, version=5 if tls else 4)
    if tls is not None:
        tls.context()  # a missing key is said now, and not at each attempt
    async with (
        Outbox(config.outbox, boot, most_bytes=config.most_bytes) as outbox,
        open_devices(config.devices) as devices,
    ):
        pollers = [
            Poller(one.name, device, one.rule, clock, lambda values: gateway.put(values))
            for one, device in zip(config.devices, devices, strict=True)
        ]
        gateway = Gateway(config.name, pollers, outbox, MqttUplink(mqtt, config.name, boot, clock), clock)
        where = f"{config.host}:{config.port}"
        sys.stdout.write(f"gateway {config.name} reads {counted(len(devices), 'device')} for {where}\n")
        sys.stdout.flush()
        await gateway.run()


def main() -> int:
    """Give the exit code."""
    try:
        run_until_signal(serve(Path(sys.argv[1])))
    except (EvmeshError, ExceptionGroup) as error:
        cause: Exception = error
        while isinstance(cause, ExceptionGroup) and len(cause.exceptions) == 1:
            cause = cause.exceptions[0]
        if not isinstance(cause, EvmeshError):
            raise
        sys.stderr.write(cause.describe() + "\n")
        return cause.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

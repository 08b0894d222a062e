"""A battery's power as it was told: held until its time is over, then let go of."""

from datetime import datetime, timedelta

import structlog

from evmesh.domain.errors import EvmeshError, Refused
from evmesh.domain.telemetry import Command
from evmesh.domain.units import W
from evmesh.edge.device import SteeredDevice
from evmesh.ports import Clock

_log = structlog.get_logger(__name__)


class Steering:
    """Sets the power of one battery, and lets go of it in time.

    The device lets go by itself too, where it can: this is for those that cannot, and for the time in which
    the gateway runs.
    """

    def __init__(self, name: str, device: SteeredDevice, clock: Clock) -> None:
        self._name = name
        self._device = device
        self._clock = clock
        self._until: datetime | None = None

    async def obey(self, command: Command, now: datetime) -> None:
        """Do what a command says until it expires; `now` is by the clock of who commands. Raises Refused."""
        left = command.expires_at - now
        seconds = left // timedelta(seconds=1)
        if seconds <= 0:
            raise Refused("command.expired", f"it was to hold until {command.expires_at:%H:%M:%S} UTC")
        self._until = self._clock.now() + left  # also where it fails half way
        await self._device.steer(W(command.value), seconds)

    async def keep(self) -> None:
        """Let go of what has expired; again at the next look, where the device does not answer."""
        if self._until is None or self._clock.now() < self._until:
            return
        try:
            await self._device.release()
        except EvmeshError as error:
            _log.warning("edge.not_released", charger=self._name, why=error.describe())
            return
        self._until = None

"""What a device is to the gateway: something that is read, and may be told a limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from evmesh.domain.telemetry import ValueName
from evmesh.domain.units import Milliamp, W

Value = int | str | None
Picture = Mapping[ValueName, Value]
"""What one poll found. A value that the device has, and that is not sure, is None; others are not there."""


class Grade(StrEnum):
    """How well a driver is proven."""

    BRONZE = "bronze"
    """It reads."""
    SILVER = "silver"
    """It recovers alone from all that a line can do."""
    GOLD = "gold"
    """As silver, against a simulator that was written from the datasheet and not from the driver."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says about itself, as far as it does."""

    make: str
    model: str
    serial: str = ""
    version: str = ""


class Device(Protocol):
    """One piece of hardware on its own line.

    Every method raises Unavailable `device.away` where nothing (or nothing whole) comes back in time, and
    ProtocolViolation `device.nonsense` for an answer that breaks the device's protocol.
    """

    @property
    def values(self) -> frozenset[ValueName]:
        """Which values this device can tell at all."""

    async def identify(self) -> Identity: ...

    async def read(self) -> Picture:
        """Ask for everything once."""

    async def close(self) -> None: ...


@runtime_checkable
class MeteringDevice(Device, Protocol):
    """A device with a lifetime register, which is another one's when its meter was swapped.

    Until that is known, by the meter's serial number or by a person's word, a register that is lower than
    one before is withheld.
    """

    @property
    def meter_id(self) -> str:
        """Which meter was read last: another text for another meter; empty where nothing says so."""

    def take_new_meter(self, at: datetime) -> None:
        """Take a person's word that the meter is another one from now on, whatever its register says."""


@runtime_checkable
class LimitedDevice(Device, Protocol):
    """A device whose current can be limited."""

    async def limit(self, current: Milliamp) -> None:
        """Let at most so much flow on each phase, 0 for none; returns once the device confirms it.

        Raises Refused `device.limit_refused` where it holds another value afterwards.
        """


@runtime_checkable
class SteeredDevice(Device, Protocol):
    """A battery whose power can be set."""

    async def steer(self, power: W, seconds: int) -> None:
        """Let `power` flow into it, negative out of it, for so long at most; returns once it confirms it.

        Raises Refused `device.limit_refused` where it holds another value afterwards.
        """

    async def release(self) -> None:
        """Let it go its own way."""

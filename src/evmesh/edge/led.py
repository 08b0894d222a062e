"""The lamp of a station: one colour, which says what the station does.

An RGB lamp as Linux offers it, a directory of its multicolor class such as `/sys/class/leds/rgb:status`
(kernel 5.9 and newer; Documentation/leds/leds-class-multicolor.rst): `multi_index` names the colours in
their order, `multi_intensity` takes one number for each, `brightness` scales them all. Any lamp with a
kernel driver will do: three pins of a Raspberry Pi (`leds-group-multicolor`), a PWM chip, an I²C driver.
"""

import asyncio
import os
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from evmesh.domain.errors import ProtocolViolation, Unavailable


class Colour(Enum):
    """What is shown; each is (red, green, blue) in 1/255 of the brightest."""

    OFF = (0, 0, 0)
    """Not known."""
    YELLOW = (255, 180, 0)
    """Idle."""
    GREEN = (0, 255, 0)
    """A car is connected."""
    LIGHT_BLUE = (80, 180, 255)
    """A current is offered."""
    DARK_BLUE = (0, 0, 255)
    """Energy flows."""
    RED = (255, 0, 0)
    """Something is wrong."""


class Lamp(Protocol):
    """Shows one colour. Raises Unavailable `device.away` where it cannot."""

    async def show(self, colour: Colour) -> None: ...


_INDEX: Final = ("red", "green", "blue")
_FULL: Final = 255


class SysfsLed:
    """A lamp of the kernel's multicolor class; colours it has beside red, green and blue stay dark."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def show(self, colour: Colour) -> None:
        """Set all colours in one write, then the brightness; some drivers wait for a slow bus."""
        await asyncio.to_thread(self._show, colour)

    def _show(self, colour: Colour) -> None:
        try:
            names = (self._directory / "multi_index").read_text().split()
            most = int((self._directory / "max_brightness").read_text())
            if not set(_INDEX) <= set(names) or most < 1:
                raise ProtocolViolation(
                    "device.nonsense", f"{self._directory} has {names}, which is no red, green and blue"
                )
            parts = dict(zip(_INDEX, colour.value, strict=True))
            shares = (parts.get(name, 0) for name in names)
            text = " ".join(str(-(-share * most // _FULL)) for share in shares)  # up: a hint stays a hint
            self._put("multi_intensity", text)
            self._put("brightness", str(most))
        except (OSError, ValueError) as error:
            raise Unavailable(
                "device.away",
                f"the lamp at {self._directory} cannot be set: {error}",
                do="look at the lamp's driver, and at who may write there",
            ) from error

    def _put(self, name: str, text: str) -> None:
        """Write in one go, as sysfs wants it; never make a file."""
        handle = os.open(self._directory / name, os.O_WRONLY)
        try:
            os.write(handle, f"{text}\n".encode())
        finally:
            os.close(handle)

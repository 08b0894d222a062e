"""A SunSpec battery inverter that takes a power, by model 124 (storage controls).

Source: github.com/sunspec/models, model_124.json. The model has limits of charging and of discharging, in
parts of WChaMax. A negative limit is a least power in the other direction, as Fronius describes it for its
inverters; so the two limits p and -p are a set-point. The inverter lets go of it by itself after
InOutWRte_RvrtTms: a gateway that dies leaves nothing behind.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.domain.units import W
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.template import HOLDING, WRITE_ONE

_MAX, _MODE, _OUT, _IN, _TIMEOUT, _MAX_SF, _RATE_SF = 2, 5, 12, 13, 15, 18, 25
"""Registers of the model, its id and length counted."""

_BOTH: Final = 3
"""StorCtl_Mod: limits of charging (1) and of discharging (2) hold."""

_LENGTH: Final = 26
_MOST_SECONDS: Final = 0xFFFE
_NO_EXPONENT: Final = 0x8000
_MOST_EXPONENT: Final = 10


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the device says of its registers: the power that 100 % is, and the value of the last digit."""

    most: Fraction
    digit: Fraction


class StorageDevice(RegisterDevice):
    """A battery on a Modbus line that can be told what to take."""

    async def steer(self, power: W, seconds: int) -> None:
        """Let `power` flow into the battery, negative out of it, for so long; then it goes its own way.

        Raises Refused `device.limit_refused` where that is more than the device can, or it holds another
        value afterwards.
        """
        at = await self._model_at()
        scale = await self._scale(at)
        if not scale.most or abs(power) > scale.most:
            raise Refused(
                "device.limit_refused",
                f"{power} W are more than the {int(scale.most)} W of a {self.template.model}",
                do="compare max_in_w and max_out_w of the site file with the battery",
            )
        rate = Fraction(power) * 100 / scale.most / scale.digit
        # Towards nothing: never above what was asked for.
        raw = rate.numerator // rate.denominator if power >= 0 else -(-rate.numerator // rate.denominator)
        await self._hold(at + _TIMEOUT, max(1, min(seconds, _MOST_SECONDS)))
        await self._hold(at + _IN, raw & 0xFFFF)
        await self._hold(at + _OUT, -raw & 0xFFFF)
        await self._hold(at + _MODE, _BOTH)

    async def release(self) -> None:
        """Let the battery go its own way from now on."""
        await self._hold(await self._model_at() + _MODE, 0)

    async def _model_at(self) -> int:
        if not self._models:
            await self._walk()
        at = self._models.get(self.template.control or 0)
        if at is None:
            raise Refused("device.no_limit", f"this {self.template.model} has no storage controls")
        return at

    async def _scale(self, at: int) -> _Scale:
        words = await self._line.read(self._unit, HOLDING, at, _LENGTH)
        most = words[_MAX] * _power_of_ten(words[_MAX_SF])
        return _Scale(most, _power_of_ten(words[_RATE_SF]))

    async def _hold(self, address: int, word: int) -> None:
        await self._line.write(self._unit, WRITE_ONE, address, [word])
        held = await self._line.read(self._unit, HOLDING, address, 1)
        if held != [word]:
            raise Refused("device.limit_refused", f"register {address} holds {held[0]}, not {word}")


def _power_of_ten(raw: int) -> Fraction:
    exponent = raw - 0x10000 if raw & 0x8000 else raw
    if raw == _NO_EXPONENT or abs(exponent) > _MOST_EXPONENT:
        raise ProtocolViolation("device.nonsense", f"a scale factor of {exponent} is none")
    return Fraction(10) ** exponent

"""Which values have changed: each against the last one that was told, beyond its dead-band."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.edge.device import Value

DEAD_BANDS: Final[Mapping[ValueName, int]] = {
    ValueName.POWER_OUTPUT: 10,
    ValueName.OUTPUT_CURRENT: 50,
    ValueName.GENERATED_POWER: 10,
    ValueName.BATTERY_POWER: 10,
}
"""Changes up to so much, in the value's unit, are noise. Registers and states have none."""


class Changes:
    """One charger's values as they were told last."""

    def __init__(self, charger: str, dead_bands: Mapping[ValueName, int] = DEAD_BANDS) -> None:
        self._charger = charger
        self._dead_bands = dead_bands
        self._told: dict[ValueName, Value] = {}

    def of(self, picture: Mapping[ValueName, Value], at: datetime) -> list[TelemetryValue]:
        """Give what differs from the last told, and take it for told; of a first picture all of it."""
        changed = [name for name, value in picture.items() if self._differs(name, value)]
        self._told |= {name: picture[name] for name in changed}
        return [TelemetryValue(self._charger, name, at, picture[name]) for name in changed]

    def _differs(self, name: ValueName, value: Value) -> bool:
        if name not in self._told:
            return True
        before = self._told[name]
        if isinstance(value, int) and isinstance(before, int) and value != 0:
            return abs(value - before) > self._dead_bands.get(name, 0)
        return value != before  # words, what became known or unknown, and nothing flowing at all

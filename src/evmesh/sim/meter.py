"""The meter of one connector: a lifetime register that only grows."""

from dataclasses import dataclass

from evmesh.domain.units import SECONDS_PER_HOUR, Wh


@dataclass(slots=True)
class Meter:
    """Counts watt-seconds; what it shows is whole Wh, rounded down as a display does."""

    register_ws: int = 0

    @property
    def register(self) -> Wh:
        """What the meter shows."""
        return Wh(self.register_ws // SECONDS_PER_HOUR)

    def count(self, energy_ws: int) -> None:
        """Add energy that has flowed into the car."""
        if energy_ws < 0:
            raise ValueError("an import register does not go back")
        self.register_ws += energy_ws

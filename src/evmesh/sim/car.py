"""A car at the plug: a battery with room, a charge curve, and its answer to the current on offer.

All energy is whole watt-seconds, so that nothing is lost between a meter and a battery. Power is constant
up to 80 % state of charge and falls linearly from there to the least current, which it holds
until the battery is full: the constant-current, constant-voltage curve of lithium cells, in straight lines.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from evmesh.domain.units import MIN_CURRENT, SECONDS_PER_HOUR, Milliamp, W, Wh, watts_from_current

TAPER_FROM_PERCENT: Final = 80
_BATTERIES: Final = (Wh(24_000), Wh(40_000), Wh(62_000), Wh(82_000), Wh(120_000))
"""Sizes on the market; the smallest that could have had the room is taken."""


class PilotState(StrEnum):
    """IEC 61851-1 table A.4, the states of the control pilot that a simulated car can make."""

    NO_CAR = "A"
    CONNECTED = "B"
    CHARGING = "C"


@dataclass(slots=True)
class Car:
    """A battery behind an on-board charger. `received_ws` counts from the moment of plugging in."""

    owner: str
    capacity_ws: int
    stored_ws: int
    max_power: W
    phases: int = 1
    received_ws: int = 0

    @classmethod
    def with_room(cls, owner: str, room: Wh, max_power: W, phases: int = 1) -> "Car":
        """Give a car whose battery is full after exactly `room`."""
        capacity = next((size for size in _BATTERIES if room * 10 <= size * 9), Wh(room * 10 // 9 + 1))
        return cls(
            owner=owner,
            capacity_ws=capacity * SECONDS_PER_HOUR,
            stored_ws=(capacity - room) * SECONDS_PER_HOUR,
            max_power=max_power,
            phases=phases,
        )

    @property
    def room_ws(self) -> int:
        """What the battery still takes."""
        return self.capacity_ws - self.stored_ws

    @property
    def soc_percent(self) -> int:
        """State of charge, rounded down: 100 only when full."""
        return self.stored_ws * 100 // self.capacity_ws

    @property
    def received(self) -> Wh:
        """Energy since plugging in, rounded down."""
        return Wh(self.received_ws // SECONDS_PER_HOUR)

    def power_at(self, offered: Milliamp, phases: int) -> W:
        """Give what the car draws when it may take `offered` on each of the outlet's `phases`.

        Below 6 A there is no valid offer (IEC 61851-1), and a full car takes nothing.
        """
        if offered < MIN_CURRENT or self.room_ws == 0:
            return W(0)
        used = min(self.phases, phases)
        return min(self._wanted(used), watts_from_current(offered, used))

    def receive(self, energy_ws: int) -> None:
        """Store energy that the meter has counted; the caller never gives more than there is room."""
        if not 0 <= energy_ws <= self.room_ws:
            raise ValueError(f"{energy_ws} Ws do not fit into {self.room_ws} Ws")
        self.stored_ws += energy_ws
        self.received_ws += energy_ws

    def _wanted(self, phases: int) -> W:
        """Give the power of the charge curve here: what the charger can, less above 80 %."""
        taper_ws = self.capacity_ws * (100 - TAPER_FROM_PERCENT) // 100
        if self.room_ws >= taper_ws:
            return self.max_power
        least = min(self.max_power, watts_from_current(MIN_CURRENT, phases))
        return W(least + (self.max_power - least) * self.room_ws // taper_ws)

"""What a car shows that it can take: its power, and over how many phases it charges.

A car does not tell; it draws. What it drew counts only under limits that stood for a while, so that
neither a car that is still ramping up nor one that was just paused is taken for a small one.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from evmesh.domain.stations import Connector, MeterSample
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import Milliamp, W

SETTLED_FOR = timedelta(minutes=2)
"""How long a car must have been let draw more before its power counts as all that it can draw."""

REMEMBERED_FOR = timedelta(seconds=STEP_S)
"""How long a car's own limit is believed in while nothing more was offered; then it is tried again."""

_HEADROOM_PERCENT = 10
"""What a car is offered above what it takes: one that wants more takes that too."""

_ALL_PERCENT = 95
"""Of its limit: a car that draws so much takes all that it is offered."""

_RISES_BY_PERCENT = 5
_RISES_BY_W = 100
"""How much more than in the sample before a car draws that is still ramping up."""

_LOADED = Milliamp(1_000)
"""A phase that carries less is one that the car does not use."""

_TELLS = Milliamp(3_000)
"""The least current on the strongest phase at which the others tell anything."""

_SHARES = ((1, 300, 345), (2, 620, 690), (3, 720, 2_000))
"""Phases, and what per mille of a three-phase limit a car draws that takes all of it on so many."""


@dataclass(frozen=True, slots=True)
class Car:
    """What one car has shown so far. `outlet` is how many phases its outlet has."""

    outlet: int = 1
    phases: int | None = None
    is_measured: bool = False
    """The phases were seen by their currents, not guessed from the power."""
    power: W | None = None
    """What it drew when it could have drawn more."""
    at: datetime | None = None
    took_less: bool = False
    """It took less than the last steady offer."""

    def shown_power(self, now: datetime) -> W | None:
        """Give what it drew last under a limit that would have let it draw more, if that was lately."""
        return self.power if self.at is not None and now - self.at <= REMEMBERED_FOR else None

    def wanted(self, now: datetime) -> W | None:
        """Give the outlet's power that covers what it takes and some headroom; None where it is not known.

        Where its phases are not known it may use one only: three times the current then.
        """
        power = self.shown_power(now)
        if power is None:
            return None
        return W(power * self.outlet // (self.phases or 1) * (100 + _HEADROOM_PERCENT) // 100)

    def drawn(self, limit: W, now: datetime) -> W:
        """Give what it will draw under a limit of its outlet, as far as it is known: rather too much."""
        most = limit * (self.phases or self.outlet) // self.outlet
        shown = self.shown_power(now)
        return W(most if shown is None else min(most, shown))

    def after(self, sample: MeterSample, limit: W | None, before: MeterSample | None, at: Connector) -> "Car":
        """Give what is known after a sample; `limit` stood for a while, or is None where it did not."""
        car = replace(self, outlet=at.phases)._with_phases(sample, limit)
        if sample.power is None or not limit:
            return car
        if sample.power * 100 >= limit * (car.phases or car.outlet) // car.outlet * _ALL_PERCENT:
            if car.power is not None and sample.power > car.power:
                car = replace(car, power=None, at=None)
            return replace(car, took_less=False)
        if _rises(before, sample.power):
            return car
        return replace(car, took_less=True, power=sample.power, at=sample.at)

    def _with_phases(self, sample: MeterSample, limit: W | None) -> "Car":
        if self.outlet == 1:
            return replace(self, phases=1)
        if sample.currents is not None and max(sample.currents) >= _TELLS:
            loaded = sum(1 for current in sample.currents if current >= _LOADED)
            return replace(self, phases=loaded, is_measured=True)
        if self.is_measured or sample.power is None or not limit:
            return self
        share = sample.power * 1_000 // limit
        return next((replace(self, phases=n) for n, low, high in _SHARES if low <= share <= high), self)


def _rises(before: MeterSample | None, power: W) -> bool:
    if before is None or before.power is None:
        return False
    return power > before.power * (100 + _RISES_BY_PERCENT) // 100 + _RISES_BY_W


NEW_CAR = Car()

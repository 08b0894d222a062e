"""One piece of equipment as its telemetry tells it: its power now, and its energy by quarter-hours.

Values come when they change. Between two the power is taken to stay; where it is not known, nothing is added.
"""

from datetime import datetime, timedelta

from evmesh.domain.equipment import MeteredStep
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import SECONDS_PER_HOUR, W, Wh
from evmesh.services.plan_in_force import step_start

LEAST_HEARD_S = STEP_S * 9 // 10
"""Seconds of a quarter-hour that must have been heard for it to be kept."""

_MEAN_OVER = timedelta(minutes=5)
_MILLION = 1_000_000


class SourceMeter:
    """Follows one power; give it every value in the order of time."""

    def __init__(self, name: str, now: datetime) -> None:
        self.name = name
        self.power: W | None = None
        """What was told last; None where it is not known at present."""
        self._until = now
        self._step = step_start(now)
        self._watt_us = 0
        self._heard_us = 0
        self._lately: list[tuple[datetime, W | None]] = []

    def tell(self, power: W | None, now: datetime) -> list[MeteredStep]:
        """Take a value that holds from now on; give the quarter-hours that have ended."""
        ended = self.pass_to(now)
        self.power = power
        self._lately.append((now, power))
        self._forget(now)
        return ended

    def pass_to(self, now: datetime) -> list[MeteredStep]:
        """Let time pass; give the quarter-hours that have ended and of which enough was heard."""
        ended = []
        while now >= self._step + timedelta(seconds=STEP_S):
            over = self._step + timedelta(seconds=STEP_S)
            self._add(over)
            if self._heard_us >= LEAST_HEARD_S * _MILLION:
                wh = self._watt_us // (SECONDS_PER_HOUR * _MILLION)
                ended.append(MeteredStep(self.name, self._step, Wh(wh)))
            self._step, self._watt_us, self._heard_us = over, 0, 0
            if self.power is None and now - over > timedelta(seconds=STEP_S):
                self._until = self._step = step_start(now)  # a long silence has no quarter-hours
        self._add(now)
        return ended

    def mean(self, now: datetime) -> W | None:
        """Give the mean power of the last five minutes, as far as it was heard; None where it is unknown."""
        if self.power is None:
            return None
        start = self._forget(now)
        watt_us = heard_us = 0
        overs = [*(at for at, _ in self._lately), now][1:]
        for (at, power), over in zip(self._lately, overs, strict=True):
            microseconds = max(0, (over - max(at, start)) // timedelta(microseconds=1))
            if power is not None:
                watt_us += power * microseconds
                heard_us += microseconds
        return W(watt_us // heard_us) if heard_us else self.power

    def _forget(self, now: datetime) -> datetime:
        """Drop values that were over before the mean begins; give when that is."""
        start = now - _MEAN_OVER
        while len(self._lately) > 1 and self._lately[1][0] <= start:
            del self._lately[0]
        return start

    def _add(self, until: datetime) -> None:
        if until <= self._until:
            return
        if self.power is not None:
            microseconds = (until - self._until) // timedelta(microseconds=1)
            self._watt_us += self.power * microseconds
            self._heard_us += microseconds
        self._until = until

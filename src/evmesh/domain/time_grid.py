"""Steps of equal length from a start: the axis that plans, meters and rewards share.

Steps are half-open: an instant on a boundary belongs to the step that begins there.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from evmesh.domain.errors import InvalidInput

STEP_S = 900
"""A quarter of an hour: the settlement period of European electricity."""

MAX_STEP_S = 86_400
MAX_STEPS = 100_000
"""Nearly three years of quarter hours; it bounds the memory that a hostile file can ask for."""


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """`steps` steps of `step_s` seconds from `start` (aware, kept as UTC, whole seconds)."""

    start: datetime
    step_s: int
    steps: int

    def __post_init__(self) -> None:
        if not 1 <= self.step_s <= MAX_STEP_S:
            raise InvalidInput("time.bad_step", f"a step lasts 1 to {MAX_STEP_S} seconds", path="step_s")
        if not 0 <= self.steps <= MAX_STEPS:
            raise InvalidInput("time.too_many_steps", f"a grid has 0 to {MAX_STEPS} steps", path="steps")
        start = _utc(self.start, "start")
        if start.microsecond:
            raise InvalidInput("time.not_whole_seconds", "a grid starts on a whole second", path="start")
        object.__setattr__(self, "start", start)
        try:
            _ = self.end
        except OverflowError as error:
            raise InvalidInput(
                "time.out_of_range", "the grid ends after the year 9999", path="start"
            ) from error

    @classmethod
    def covering(cls, first: datetime, last: datetime, step_s: int = STEP_S) -> "TimeGrid":
        """Give the shortest grid on boundaries of the epoch that holds [first, last]."""
        epoch, length = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=step_s)
        begin = (_utc(first, "first") - epoch) // length
        end = -((epoch - _utc(last, "last")) // length)
        return cls(epoch + begin * length, step_s, max(0, end - begin))

    @property
    def length(self) -> timedelta:
        """How long one step lasts."""
        return timedelta(seconds=self.step_s)

    @property
    def end(self) -> datetime:
        """The end of the last step, the first instant outside."""
        return self.start + self.steps * self.length

    def bounds(self, step: int) -> tuple[datetime, datetime]:
        """Give [begin, end) of a step; raises InvalidInput `time.outside_horizon`."""
        if not 0 <= step < self.steps:
            raise InvalidInput("time.outside_horizon", f"step {step} is not one of the {self.steps} steps")
        begin = self.start + step * self.length
        return begin, begin + self.length

    def index_of(self, instant: datetime) -> int:
        """Give the step that holds the instant; raises InvalidInput `time.outside_horizon`."""
        step = self._elapsed(instant)
        if not 0 <= step < self.steps:
            raise InvalidInput("time.outside_horizon", f"{instant} is outside {self.start} to {self.end}")
        return step

    def first_step_from(self, instant: datetime) -> int:
        """Give the first step that starts at or after the instant; `steps` where none does.

        This is the arrival of a request that is there from `instant` on.
        """
        return min(max(0, -(-(_utc(instant, "instant") - self.start) // self.length)), self.steps)

    def steps_ended_by(self, instant: datetime) -> int:
        """Give how many steps end at or before the instant, so one past the last such step.

        This is the departure of a request that leaves at `instant`; 0 where no step has ended.
        """
        return min(max(0, self._elapsed(instant)), self.steps)

    def next_boundary(self, instant: datetime) -> datetime:
        """Give the first boundary after the instant, also outside the grid."""
        return self.start + (self._elapsed(instant) + 1) * self.length

    def _elapsed(self, instant: datetime) -> int:
        return (_utc(instant, "instant") - self.start) // self.length


def _utc(instant: datetime, name: str) -> datetime:
    if instant.tzinfo is None:
        raise InvalidInput("time.naive", f"{instant} has no time zone", path=name)
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput("time.out_of_range", f"{instant} is out of range in UTC", path=name) from error

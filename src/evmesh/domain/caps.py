"""Caps: what somebody with a say over it lets a group, or one charge point, draw at most, and until when.

A grid operator dims a cabinet, an operator spares a fuse. Each says a power, a window, a reason. Of one
source the newest word stands wherever it speaks; among sources the lowest wins.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import ConnectorRef
from evmesh.domain.units import W

LONGEST_CAP: Final = timedelta(days=366)
"""A cap that is meant for longer is a rating: it belongs into the site file."""

MOST_CAP_W: Final = 2**31 - 1
_LONGEST_TEXT: Final = 200


class CapKind(StrEnum):
    """Whose word it is: a grid operator's is held above the group's floor, an operator's is not."""

    GRID = "grid"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Cap:
    """In [starts_at, expires_at) no more than `power`; None takes back what the source said before."""

    group: str
    source: str
    """Who says so, as it is shown: the name of a grid operator, of a channel, of a person."""
    power: W | None
    starts_at: datetime
    expires_at: datetime
    reason: str
    connector: ConnectorRef | None = None
    """One charge point only; None is the whole group."""
    kind: CapKind = CapKind.GRID
    number: int = 0
    """Given by the store; the higher, the newer."""

    def __post_init__(self) -> None:
        if self.power is not None and not 0 <= self.power <= MOST_CAP_W:
            raise InvalidInput("cap.bad_power", f"{self.power} W is no power to draw at most", path="power")
        if self.starts_at.tzinfo is None or self.expires_at.tzinfo is None:
            raise InvalidInput("cap.bad_time", "a time needs its zone", path="starts_at")
        if not timedelta(0) < self.expires_at - self.starts_at <= LONGEST_CAP:
            raise InvalidInput(
                "cap.bad_time",
                f"a cap ends after it starts, and within {LONGEST_CAP.days} days",
                path="expires_at",
            )
        for name, text in (("source", self.source), ("reason", self.reason)):
            if not 0 < len(text) <= _LONGEST_TEXT or not text.isprintable():
                what = f"the {name} of a cap has 1 to {_LONGEST_TEXT} printable characters"
                raise InvalidInput("cap.bad_text", what, path=name)

    @property
    def by(self) -> str:
        """Who set it, with what kind of say: what a limit names as its source."""
        return f"{self.kind}:{self.source}"

    def holds_at(self, instant: datetime) -> bool:
        """Tell whether its window holds an instant."""
        return self.starts_at <= instant < self.expires_at


class FloorRule(StrEnum):
    """How far a grid operator's cap may lower a group with n charge points of `floor_w` each.

    `section_14a`: § 14a EnWG as the Bundesnetzagentur laid it down for several devices behind one energy
    management (BK6-22-300 of 27 November 2023, annex 1, section 4.5.2):
    P_min = 4.2 kW + (n − 1) × GZF × 4.2 kW, with the simultaneity factor GZF below. The law speaks of charge
    points that are not open to the public (section 2.4.1 a) and draw more than 4.2 kW.
    `each`: every charge point keeps its floor, as where each is dimmed directly: n × floor.
    """

    SECTION_14A = "section_14a"
    EACH = "each"


_GZF_PERCENT: Final = {2: 80, 3: 75, 4: 70, 5: 65, 6: 60, 7: 55, 8: 50}
"""Simultaneity factors of BK6-22-300, annex 1, section 4.5.2; from nine devices on it is 45 %. They are
presumed to be appropriate until another recommendation is in force (there, sentence 2). The table as it is
quoted in https://docs.rs/crate/metering/0.25.0/source/src/grid/para14a.rs, and as a second, unrelated
program has it; the decision's own text was not at hand (docs/untested.md)."""
_GZF_MANY_PERCENT: Final = 45


def floor_of(rule: FloorRule, floor: W, charge_points: int) -> W:
    """Give what a grid operator's cap leaves a group at least, rounded up; 0 without a floor."""
    if charge_points <= 0:
        return W(0)
    if rule is FloorRule.EACH:
        return W(floor * charge_points)
    percent = _GZF_PERCENT.get(charge_points, _GZF_MANY_PERCENT)
    return W(floor + -(-(charge_points - 1) * floor * percent // 100))

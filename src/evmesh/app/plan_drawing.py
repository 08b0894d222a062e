"""The pieces that a plan's plot is drawn with: a time axis, value axes, step lines and areas, text, colours.

Coordinates are whole tenths of a pixel, so nothing is rounded differently elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import groupby
from typing import Final, TypeVar

from evmesh.domain.time_grid import TimeGrid

T = TypeVar("T")

HATCH: Final = (
    '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)">'
    '<path class="hatch" d="M0 0V8"/></pattern></defs>'
)

LEFT, RIGHT, WIDTH = 170, 1_060, 1_200
MOST_TICKS: Final = 10

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400
_TICK_S: Final = (60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, _DAY_S, 7 * _DAY_S, 30 * _DAY_S)

STYLE: Final = """
svg {
  --ground: #ffffff; --ink: #1d2430; --soft: #5b6573; --rule: #e3e6ea; --window: #e9edf2; --charge: #2563c9;
  --load: #10151d; --short: #c62828; --lambda: #b3261e; --paid: #8a94a3;
  --p0: #bfe3c6; --p1: #cfe8ec; --p2: #d5dcf3; --p3: #f6e3b8; --p4: #f3cbb9;
  font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg {
  --ground: #14181f; --ink: #e8ebef; --soft: #a3adba; --rule: #2a313b;
  --window: #262d37; --charge: #6ea3ff; --load: #ffffff; --short: #ff6b62; --lambda: #ff8a80; --paid: #7d8896;
  --p0: #1f4a2b; --p1: #1d4249; --p2: #2b3560; --p3: #55441a; --p4: #5a3222; } }
text { fill: var(--ink); } .soft { fill: var(--soft); } .head { font-weight: 600; } .big { font-size: 18px; }
.end { text-anchor: end; } .mid { text-anchor: middle; }
.ground { fill: var(--ground); } .rule { stroke: var(--rule); fill: none; } .window { fill: var(--window); }
.charge { fill: var(--charge); } .short { fill: url(#hatch); stroke: var(--short); }
.hatch { stroke: var(--short); stroke-width: 2; }
.p0 { fill: var(--p0); } .p1 { fill: var(--p1); } .p2 { fill: var(--p2); } .p3 { fill: var(--p3); }
.p4 { fill: var(--p4); }
.load, .capacity, .lambda, .paid { fill: none; stroke-width: 2; }
.load { stroke: var(--load); } .capacity { stroke: var(--soft); stroke-dasharray: 5 3; stroke-width: 1.5; }
.lambda { stroke: var(--lambda); } .paid { stroke: var(--paid); stroke-width: 5; }
"""


@dataclass(frozen=True, slots=True)
class Across:
    """Where steps lie from left to right."""

    grid: TimeGrid

    def x(self, step: int) -> int:
        """Give the left edge of a step, in tenths of a pixel."""
        return LEFT * 10 + (RIGHT - LEFT) * 10 * step // max(1, self.grid.steps)

    def rect(self, first: int, end: int, top: int, height: int, kind: str) -> str:
        """Give a rectangle over the steps [first, end)."""
        x, width = self.x(first), max(10, self.x(end) - self.x(first))
        return f'<rect class="{kind}" x="{tenths(x)}" y="{top}" width="{tenths(width)}" height="{height}"/>'

    def rules(self, top: int, bottom: int) -> list[str]:
        """Draw a line at each round time."""
        return [f'<path class="rule" d="M{tenths(x)} {top}V{bottom}"/>' for _, x in self._ticks()]

    def times(self, top: int) -> list[str]:
        """Write the round times, and below them the date where a new one begins."""
        parts, day = [text(RIGHT + 40, top, "UTC", "soft")], ""
        for at, x in self._ticks():
            parts.append(text(tenths(x), top, f"{at:%H:%M}", "mid soft"))
            date = f"{at.year:04}-{at:%m-%d}"
            if date != day:
                parts.append(text(tenths(x), top + 16, date, "mid soft"))
            day = date
        return parts

    def _ticks(self) -> list[tuple[datetime, int]]:
        length_s = self.grid.steps * self.grid.step_s
        every = next((one for one in _TICK_S if length_s <= one * MOST_TICKS), -(-length_s // MOST_TICKS))
        start = (self.grid.start - _EPOCH) // timedelta(seconds=1)
        first = -(-start // every) * every
        return [
            (
                _EPOCH + timedelta(seconds=tick),
                LEFT * 10 + (RIGHT - LEFT) * 10 * (tick - start) // max(1, length_s),
            )
            for tick in range(first, start + length_s + 1, every)
        ]


@dataclass(frozen=True, slots=True)
class Up:
    """Where values from `low` to `high` lie in a panel, from its bottom to its top; low < high."""

    top: int
    height: int
    low: int
    high: int

    def y(self, value: int) -> int:
        """Give tenths of a pixel; what lies beyond an edge is drawn at it."""
        inside = min(max(value, self.low), self.high)
        span = self.high - self.low
        return (self.top + self.height) * 10 - self.height * 10 * (inside - self.low) // span

    def scale(self) -> list[str]:
        """Write round values at the left, each with a line across."""
        parts, every = [], _round_part(self.high - self.low)
        for value in range(-(-self.low // every) * every, self.high + 1, every):
            y = self.y(value)
            parts.append(f'<path class="rule" d="M{LEFT} {tenths(y)}H{RIGHT}"/>')
            parts.append(text(LEFT - 10, tenths(y + 45), f"{value:,}", "end soft"))
        return parts


def _round_part(span: int) -> int:
    """Give 1, 2 or 5 times a power of ten, of which four to ten make up the span."""
    power = 1
    while span > power * 50:
        power *= 10
    return next(one * power for one in (1, 2, 5, 10) if span <= one * power * 6 or one == 10)


def runs(values: Sequence[T], first: int = 0) -> list[tuple[int, int, T]]:
    """Give the stretches of equal values as [begin, end) and value; `first` is the step of the first one."""
    found, at = [], first
    for value, group in groupby(values):
        end = at + sum(1 for _ in group)
        found.append((at, end, value))
        at = end
    return found


def line(values: Sequence[int | None], across: Across, up: Up, kind: str) -> str:
    """Draw a value per step as stairs; there is a gap where it is None."""
    path, drawing = [], False
    for begin, end, value in runs(values):
        if value is not None:
            y = tenths(up.y(value))
            path.append(f"V{y}" if drawing else f"M{tenths(across.x(begin))} {y}")
            path.append(f"H{tenths(across.x(end))}")
        drawing = value is not None
    return f'<path class="{kind}" d="{"".join(path)}"/>' if path else ""


def area(low_high: Sequence[tuple[int, int]], across: Across, up: Up, kind: str, first: int = 0) -> str:
    """Fill between two values per step, where they differ."""
    path = [
        f"M{tenths(across.x(begin))} {tenths(up.y(low))}V{tenths(up.y(high))}H{tenths(across.x(end))}"
        f"V{tenths(up.y(low))}z"
        for begin, end, (low, high) in runs(low_high, first)
        if low != high
    ]
    return f'<path class="{kind}" d="{"".join(path)}"/>' if path else ""


def text(x: int | str, y: int | str, words: str, kind: str = "") -> str:
    """Write words, whatever characters are in them."""
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'


def tenths(value: int) -> str:
    """Write tenths of a pixel as pixels."""
    whole, rest = divmod(value, 10)
    return f"{whole}.{rest}" if rest else str(whole)

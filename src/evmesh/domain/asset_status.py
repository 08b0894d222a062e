"""How an asset is in a step, packed as `AssetStatus` keeps it; the layout is frozen in `docs/formats.md`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh

MAX_RECORDS: Final = 200
"""In one transaction."""

MAX_STATES: Final = 56 + 127 * 64
"""In one area's map."""

_WORD: Final = 1 << 32
_IN_FIRST: Final = 56
_IN_OTHER: Final = 64


class Occupancy(IntEnum):
    """What an asset does; others are reserved."""

    UNKNOWN = 0
    AVAILABLE = 1
    PREPARING = 2
    CHARGING = 3
    SUSPENDED_CAR = 4
    SUSPENDED_STATION = 5
    FINISHING = 6
    RESERVED = 7
    UNAVAILABLE = 8
    FAULTED = 9
    GIVING_BACK = 10


OCCUPANCY_OF: Final = {
    ConnectorStatus.AVAILABLE: Occupancy.AVAILABLE,
    ConnectorStatus.PREPARING: Occupancy.PREPARING,
    ConnectorStatus.CHARGING: Occupancy.CHARGING,
    ConnectorStatus.SUSPENDED_EV: Occupancy.SUSPENDED_CAR,
    ConnectorStatus.SUSPENDED_EVSE: Occupancy.SUSPENDED_STATION,
    ConnectorStatus.FINISHING: Occupancy.FINISHING,
    ConnectorStatus.RESERVED: Occupancy.RESERVED,
    ConnectorStatus.UNAVAILABLE: Occupancy.UNAVAILABLE,
    ConnectorStatus.FAULTED: Occupancy.FAULTED,
}


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """One asset in one step; None is what is not known."""

    asset: int
    step: int
    """Seconds since 1970 ÷ 900."""
    state: int
    soc_percent: int | None = None
    power: W | None = None
    """Positive from the grid."""
    limit: W | None = None
    energy_left: Wh | None = None
    """To deliver until the departure."""
    time_left_s: int | None = None
    """To the departure; known where the energy left is."""
    at_hand: Wh | None = None
    """What a battery could give."""

    @property
    def at(self) -> datetime:
        """When the step begins."""
        return datetime.fromtimestamp(self.step * STEP_S, UTC)

    def pack(self) -> int:
        """Give the word; raises InvalidInput `status.out_of_range`."""
        known = (
            (self.soc_percent is not None)
            | (self.power is not None) << 1
            | (self.limit is not None) << 2
            | (self.energy_left is not None) << 3
            | (self.at_hand is not None) << 4
        )
        word, place = 0, 0
        for value, size in (
            (self.asset, 40),
            (self.step, 32),
            (self.state, 8),
            (known, 8),
            (self.soc_percent or 0, 8),
            (_complement(self.power or 0), 32),
            (self.limit or 0, 32),
            (self.energy_left or 0, 32),
            (self.time_left_s or 0, 32),
            (self.at_hand or 0, 32),
        ):
            if not 0 <= value < 1 << size:
                raise InvalidInput("status.out_of_range", f"{value} does not fit into {size} bits")
            word |= value << place
            place += size
        return word

    @classmethod
    def unpack(cls, word: int) -> "StatusRecord":
        """Read a word."""
        known = _bits(word, 80, 8)
        power = _bits(word, 96, 32)

        def where(bit: int, value: int) -> int | None:
            return value if known >> bit & 1 else None

        limit, left = where(2, _bits(word, 128, 32)), where(3, _bits(word, 160, 32))
        signed, at_hand = where(1, power - _WORD if power >> 31 else power), where(4, _bits(word, 224, 32))
        return cls(
            asset=_bits(word, 0, 40),
            step=_bits(word, 40, 32),
            state=_bits(word, 72, 8),
            soc_percent=where(0, _bits(word, 88, 8)),
            power=None if signed is None else W(signed),
            limit=None if limit is None else W(limit),
            energy_left=None if left is None else Wh(left),
            time_left_s=where(3, _bits(word, 192, 32)),
            at_hand=None if at_hand is None else Wh(at_hand),
        )


def step_of(instant: datetime) -> int:
    """Give the number of the step that holds an instant."""
    return int(instant.timestamp()) // STEP_S


def unchanged_since(records: Sequence[StatusRecord]) -> datetime | None:
    """Give the begin of the first step of the run of steps, without a gap, that ends with the newest state.

    `records` are of one asset, oldest first. Between steps it may have been otherwise: nobody publishes that.
    """
    if not records:
        return None
    first = records[-1]
    for one in reversed(records):
        if one.state != first.state or first.step - one.step > 1:
            break
        first = one
    return first.at


def pack_states(step: int, states: Sequence[int]) -> list[int]:
    """Give the words of a map; raises InvalidInput `status.too_many` or `status.out_of_range`."""
    if len(states) > MAX_STATES:
        raise InvalidInput("status.too_many", f"{len(states)} states are more than the {MAX_STATES} of a map")
    if any(not 0 <= state <= 15 for state in states) or not 0 <= step < _WORD:
        raise InvalidInput("status.out_of_range", "a state has four bits, and a step 32")
    words = [step | sum(state << 32 + 4 * place for place, state in enumerate(states[:_IN_FIRST]))]
    for start in range(_IN_FIRST, len(states), _IN_OTHER):
        row = states[start : start + _IN_OTHER]
        words.append(sum(state << 4 * place for place, state in enumerate(row)))
    return words


def unpack_states(words: Sequence[int], count: int) -> tuple[int, list[int]]:
    """Give the step and the first `count` states of a map."""
    first, *others = words
    states = [first >> 32 + 4 * place & 15 for place in range(_IN_FIRST)]
    for word in others:
        states += [word >> 4 * place & 15 for place in range(_IN_OTHER)]
    return first & _WORD - 1, states[:count]


def words_of(count: int) -> int:
    """Give how many words a map of so many states has."""
    return 1 + max(0, -(-(count - _IN_FIRST) // _IN_OTHER))


def _bits(word: int, shift: int, size: int) -> int:
    return word >> shift & (1 << size) - 1


def _complement(value: int) -> int:
    if not -(_WORD >> 1) <= value < _WORD >> 1:
        return -1  # refused with the others
    return value % _WORD

"""Physical quantities: the name carries the unit, the type guards the call, the value is an int.

Power and current are positive when they flow from the grid into a car. Energy registers are
lifetime import registers: they only grow. Where a limit has to be converted it is rounded down.
"""

from typing import NewType

Wh = NewType("Wh", int)
"""Energy. A register of this type is lifetime import."""

W = NewType("W", int)
"""Power; positive from the grid."""

Milliamp = NewType("Milliamp", int)
"""Current on one phase; positive from the grid."""

Millivolt = NewType("Millivolt", int)
"""Phase-to-neutral voltage."""

SECONDS_PER_HOUR = 3600
NOMINAL_VOLTAGE = Millivolt(230_000)
"""Phase to neutral, EN 50160."""

MIN_CURRENT = Milliamp(6_000)
"""The least current that IEC 61851-1 can offer a car over the control pilot."""


def watts_from_energy(energy: Wh, seconds: int) -> W:
    """Give the mean power that moves `energy` in `seconds`, rounded down."""
    return W(energy * SECONDS_PER_HOUR // seconds)


def energy_from_watts(power: W, seconds: int) -> Wh:
    """Give the energy that `power` moves in `seconds`, rounded down."""
    return Wh(power * seconds // SECONDS_PER_HOUR)


def current_from_watts(power: W, phases: int, voltage: Millivolt = NOMINAL_VOLTAGE) -> Milliamp:
    """Give the current per phase that carries `power` over `phases`, rounded down."""
    return Milliamp(power * 1_000_000 // (voltage * phases))


def watts_from_current(current: Milliamp, phases: int, voltage: Millivolt = NOMINAL_VOLTAGE) -> W:
    """Give the power that `current` on each of `phases` carries, rounded down."""
    return W(current * voltage * phases // 1_000_000)

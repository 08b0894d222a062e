"""What a driver wants of a charge, as typed: energy, money or a time, and until when."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import MAX_UNITS, Price, cost_of, energy_within, parse_amount
from evmesh.domain.sessions import Way
from evmesh.domain.transfers import STAY
from evmesh.domain.units import W, Wh, energy_from_watts

MOST_ENERGY: Final = Wh(2**31 - 1)
"""What a request can carry."""

LONGEST_STAY: Final = timedelta(days=7)
_ENERGY: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,6}))?\s*(kwh|wh)", re.IGNORECASE | re.ASCII)
_PARTS: Final = re.compile(r"(?:([0-9]{1,4})\s*h)?\s*(?:([0-9]{1,5})\s*min)?", re.IGNORECASE | re.ASCII)
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_QUARTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Wish:
    """Exactly one of energy, money (token units) and time; `until` is as typed, None for no word."""

    energy: Wh | None
    money: int | None
    time: timedelta | None
    until: str | None
    asap: bool
    way: Way

    def energy_at(self, price: Price, rating: W) -> Wh:
        """Give the energy to ask for: what the money buys, or what the outlet can give in the time.

        Raises InvalidInput `wish.too_little` where that is nothing, `wish.too_much` past what can be asked.
        """
        wanted = self.energy
        if self.money is not None:
            wanted = energy_within(self.money, price)
            if wanted is None:
                raise InvalidInput("wish.free", "energy is free here", do="name an --energy instead")
        if self.time is not None:
            wanted = energy_from_watts(rating, int(self.time.total_seconds()))
        if not wanted:
            raise InvalidInput("wish.too_little", "that is less than one Wh", do="ask for more")
        if wanted > MOST_ENERGY or cost_of(wanted, price) > MAX_UNITS:
            raise InvalidInput(
                "wish.too_much",
                f"{wanted} Wh are more than can be asked for at once",
                do=f"ask for at most {MOST_ENERGY} Wh",
            )
        return wanted

    def departure(self, now: datetime, energy: Wh, rating: W, zone: ZoneInfo) -> datetime:
        """Give until when, at `now`: without a word as long as the time, or time enough for the energy.

        HH:MM is what a clock at the station shows, in its `zone`. A transfer carries no departure: the
        operator ends what it pays for after a day. Raises InvalidInput `wish.bad_until`, `wish.past` or
        `wish.too_late`.
        """
        if self.way is Way.TRANSFER:
            at = now + STAY
        elif self.until is not None:
            at = _instant(self.until, now, zone)
        elif self.time is not None:
            at = now + self.time
        else:
            at = now + 2 * timedelta(hours=energy / max(1, rating)) + timedelta(hours=1)
            at = min(_next_quarter(at), now + LONGEST_STAY)
        if at <= now:
            raise InvalidInput("wish.past", f"{self.until} is over", do="name a departure that is to come")
        if at > now + LONGEST_STAY:
            raise InvalidInput(
                "wish.too_late", "that is more than seven days ahead", do="name an earlier one"
            )
        return at.replace(microsecond=0)


def parse_wish(
    energy: str | None, money: str | None, time: str | None, until: str | None, *, asap: bool, way: Way
) -> Wish:
    """Read what was typed; raises InvalidInput, in words, for what cannot be meant."""
    given = [one for one in (energy, money, time) if one is not None]
    if len(given) != 1:
        raise InvalidInput(
            "wish.not_one",
            "nothing says how much" if not given else "more than one thing says how much",
            do="name one of --energy 12kWh, --money 5.00 and --time 90min",
        )
    if way is Way.TRANSFER and until is not None:
        raise InvalidInput(
            "wish.no_departure",
            "a transfer carries no departure: it charges as fast as possible, for a day at most",
            do="leave --until out, or pay another way",
            path="--until",
        )
    return Wish(
        energy=None if energy is None else parse_energy(energy),
        money=None if money is None else parse_amount(money, "--money"),
        time=None if time is None else parse_duration(time),
        until=until,
        asap=asap,
        way=way,
    )


def parse_energy(text: str) -> Wh:
    """Read `12kWh`, `7.5 kWh` or `800Wh`; nothing is rounded."""
    match = _ENERGY.fullmatch(text.strip())
    if match is None:
        negative = text.strip().startswith("-")
        raise InvalidInput(
            "wish.negative" if negative else "wish.bad_energy",
            f"{text[:40]!r} is {'less than nothing' if negative else 'no energy'}",
            do="write e.g. 12kWh, 7.5kWh or 800Wh",
            path="--energy",
        )
    whole, decimals, unit = match[1], (match[2] or "").rstrip("0"), match[3].lower()
    if len(decimals) > (3 if unit == "kwh" else 0):
        raise InvalidInput(
            "wish.too_many_decimals",
            f"{text[:40]!r} is finer than a Wh",
            do="use at most three decimals of a kWh",
            path="--energy",
        )
    factor = 1000 if unit == "kwh" else 1
    wh = Wh(int(Decimal(f"{whole}.{decimals or 0}") * factor))
    if not wh:
        raise InvalidInput("wish.too_little", "that is no energy at all", do="ask for more", path="--energy")
    if wh > MOST_ENERGY:
        raise InvalidInput(
            "wish.too_much", f"{text[:40]} is more than can be asked for", do="ask for less", path="--energy"
        )
    return wh


def parse_duration(text: str) -> timedelta:
    """Read `90min`, `2h` or `1h30min`."""
    match = _PARTS.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        negative = text.strip().startswith("-")
        raise InvalidInput(
            "wish.negative" if negative else "wish.bad_time",
            f"{text[:40]!r} is {'less than nothing' if negative else 'no length of time'}",
            do="write e.g. 90min, 2h or 1h30min",
            path="--time",
        )
    length = timedelta(hours=int(match[1] or 0), minutes=int(match[2] or 0))
    if not length:
        raise InvalidInput("wish.too_little", "that is no time at all", do="name a longer one", path="--time")
    if length > LONGEST_STAY:
        raise InvalidInput("wish.too_much", "that is more than seven days", do="ask for less", path="--time")
    return length


def time_words(at: datetime, zone: ZoneInfo) -> str:
    """Write an instant as a clock at the station shows it, and which clock that is."""
    return f"{at.astimezone(zone):%a %H:%M} ({zone.key})"


def _instant(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """Read HH:MM of the next day that has it, in the station's zone, or RFC 3339."""
    if match := _CLOCK.fullmatch(text.strip()):
        wall = now.astimezone(zone).replace(
            hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0, fold=0
        )
        at = wall.astimezone(UTC)
        return at if at > now else (wall + timedelta(days=1)).astimezone(UTC)  # a day on the same clock
    try:
        at = datetime.fromisoformat(text.strip())
        if at.tzinfo is not None:
            return at
    except ValueError:
        pass  # said below
    raise InvalidInput(
        "wish.bad_until",
        f"{text[:40]!r} is no time of departure",
        do="write 18:30, or with date and offset 2026-06-01T18:30:00+02:00",
        path="--until",
    )


def _next_quarter(at: datetime) -> datetime:
    past = timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)
    return at - past + _QUARTER

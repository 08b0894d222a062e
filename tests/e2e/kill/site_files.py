"""The site of the kill tests: cabinets for simulated cars, for wallets without a car, for strangers with one.

Cars come to every place in turn, all day, with all that ends a charge: energy delivered, battery
full, departure, unplugged early. The cabinet is small and the price changes every hour, so cars
also pause and go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

DAY = datetime(2026, 6, 1, tzinfo=UTC)
CAR_PLACES = tuple(f"KC-{number}" for number in range(1, 9))
STRANGER_PLACES = ("KT-1", "KT-2")
"""Whoever charges here sends tokens to the deposit address, from a wallet that nobody has seen before."""
FLEX_PLACES = frozenset({"KC-2", "KC-4", "KC-6", "KC-8", "KW-2", "KW-4"})
"""Whoever charges here pays in FLEX."""
WALLET_PLACES = tuple(f"KW-{number}" for number in range(1, 5))
PRICE = 350_000
_EVERY = timedelta(minutes=36)
_STATED_STAY = timedelta(minutes=70)
_TURNS = 3
_STRANGER_EVERY, _STRANGER_STAY = timedelta(minutes=12), timedelta(minutes=9)
_HEADER = "driver,connector,arrival,stated_departure,departure,requested_wh,delivered_wh,way,money"


@dataclass(frozen=True)
class _Wish:
    """What one kind of driver asks for, what the car takes, and how long it really stays."""

    requested_wh: int
    need_wh: int
    stay: timedelta


_WISHES = (
    _Wish(500, 2_000, timedelta(minutes=30)),  # ends when the energy is delivered
    _Wish(1_500, 300, timedelta(minutes=32)),  # the battery is full before
    _Wish(2_400, 2_400, timedelta(minutes=14)),  # goes while energy flows
    _Wish(900, 900, timedelta(minutes=32)),
    _Wish(3_500, 3_500, timedelta(minutes=24)),
)


def write_site(directory: Path) -> Path:
    """Write the site with no visitors yet, and give the site file."""
    directory.mkdir(parents=True, exist_ok=True)
    hours = (f"{DAY + timedelta(hours=hour):%Y-%m-%dT%H:%M:%S},{40 + 80 * (hour % 2)}" for hour in range(168))
    (directory / "prices.csv").write_text("start,eur_per_mwh\n" + "\n".join(hours) + "\n")
    let_nobody_come(directory)
    site = directory / "site.toml"
    groups = [*_group("cars", 16_000, CAR_PLACES), *_group("wallets", 60_000, WALLET_PLACES)]
    groups += _group("strangers", 16_000, STRANGER_PLACES)
    site.write_text("\n".join([_HEAD, *groups]))
    return site


def let_nobody_come(directory: Path) -> None:
    """Empty the sessions file; the simulation reads it when it starts."""
    (directory / "sessions.csv").write_text(_HEADER + "\n")


def let_cars_come(directory: Path) -> None:
    """Fill the sessions file with a day of visits, which repeats each week."""
    (directory / "sessions.csv").write_text("\n".join([_HEADER, *_visits()]) + "\n")


def flex_drivers() -> list[str]:
    """Give the names of those who come with a car and pay in FLEX."""
    places = sorted(FLEX_PLACES & set(CAR_PLACES))
    return [f"driver-{name}-{turn}" for name in places for turn in range(_TURNS)]


def _visits() -> Iterator[str]:
    number = 0
    for place, name in enumerate(CAR_PLACES):
        arrival = DAY + place * _EVERY / len(CAR_PLACES)
        while arrival < DAY + timedelta(days=3):
            wish = _WISHES[number % len(_WISHES)]
            times = (arrival, arrival + _STATED_STAY, arrival + wish.stay)
            written = ",".join(f"{time:%Y-%m-%dT%H:%M:%S}" for time in times)
            # Drivers take turns at a place: each comes again when the last session is long settled.
            who = f"driver-{name}-{number % _TURNS}"
            money = "flex" if name in FLEX_PLACES else "token"
            yield f"{who},{name},{written},{wish.requested_wh},{wish.need_wh},prepaid,{money}"
            arrival, number = arrival + _EVERY, number + 1
    yield from _strangers()


def _strangers() -> Iterator[str]:
    """Every few minutes somebody who pays for more than the car takes, so that a remainder goes back."""
    for place, name in enumerate(STRANGER_PLACES):
        arrival = DAY + place * _STRANGER_EVERY / len(STRANGER_PLACES)
        while arrival < DAY + timedelta(days=3):
            times = (arrival, arrival + _STATED_STAY, arrival + _STRANGER_STAY)
            written = ",".join(f"{time:%Y-%m-%dT%H:%M:%S}" for time in times)
            yield f"stranger-{name},{name},{written},1400,500,transfer,token"
            arrival += _STRANGER_EVERY


_HEAD = """name = "Crash yard"
time_zone = "UTC"
start = 2026-06-01T06:00:00Z
prices = "prices.csv"
sessions = "sessions.csv"
"""


def _group(name: str, capacity_w: int, places: tuple[str, ...]) -> Iterator[str]:
    yield f'[[group]]\nname = "{name}"\ncapacity_w = {capacity_w}\n'
    for pair in range(0, len(places), 2):
        yield (
            f'[[group.station]]\nid = "{places[pair]}-TWIN"\nvendor = "evmesh"\nmodel = "Twin"\n'
            f'serial = "KILL{name}{pair}"\n'
        )
        for number, place in enumerate(places[pair : pair + 2], 1):
            yield (
                f'[[group.station.connector]]\nnumber = {number}\nname = "{place}"\n'
                f'evse_id = "NL*EVM*E{place.replace("-", "")}"\nrating_w = 7360\nphases = 1\n'
                f"max_current_ma = 32000\nlatitude_udeg = 52000000\nlongitude_udeg = 4000000\n"
                f"price = {PRICE}\n"
            )

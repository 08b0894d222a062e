"""One TOML site file: what stands where, what power costs, who comes to charge.

This is the only file that reads configuration; each room is handed its own piece.
"""

import csv
import io
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evmesh.app.files import read_file
from evmesh.app.grid_site import GridConfig, grids_of
from evmesh.app.proxy_site import proxies_of
from evmesh.app.seller import seller_of_site
from evmesh.app.site_groups import PLAIN, Wiring, check_lines, lines_of, part_of, wiring_of
from evmesh.app.site_parts import (
    MENNEKES,
    PARTS,
    MadeOf,
    ObservedConfig,
    kind_of,
    made_of,
    observed,
    with_observed,
)
from evmesh.app.transfer_site import TransferConfig, transfer_of
from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.ids import ConnectorRef, EvseId, StationId
from evmesh.domain.invoice import Seller
from evmesh.domain.money import Price
from evmesh.domain.stations import BootInfo, Connector
from evmesh.domain.units import MIN_CURRENT, Milliamp, W
from evmesh.ledger.meter_signatures import checked_meter_key

T = TypeVar("T")

FIRST_INSTANT: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST_INSTANT: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Platform time begins between these; the contracts' clocks have 32 bits, which end in 2106."""

_MAX_SITE_BYTES: Final = 2**20
_MAX_EUR_PER_MWH: Final = 1_000_000
_LONGEST_TEXT: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
"""What a connector may be called: its name is a level of MQTT topics and a part of URLs."""


@dataclass(frozen=True, slots=True)
class StationConfig:
    """One charge point and its connectors."""

    id: StationId
    info: BootInfo
    connectors: tuple[tuple[str, Connector], ...]
    """(name, connector)."""
    part: str = ""
    """The part of its group that it hangs on; empty is the group itself."""
    made_of: MadeOf | None = None
    """What it is built from, where it is driven from here; None: it connects over OCPP."""


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """The charge points behind one distribution cabinet."""

    name: str
    capacity: W
    stations: tuple[StationConfig, ...]
    wiring: Wiring = PLAIN
    """Its cables; what `observed` may draw is among what other equipment takes."""
    observed: tuple[ObservedConfig, ...] = ()
    """Chargers that are looked at and not billed."""


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """A site as its operator describes it."""

    name: str
    time_zone: ZoneInfo
    start: datetime
    groups: tuple[GroupConfig, ...]
    prices: Path
    sessions: Path | None
    seller: Seller | None = None
    """Who stands at the head of invoices; None: the operator gives out none."""
    grids: tuple[GridConfig, ...] = ()
    """Grid operators that may limit groups."""
    transfer: TransferConfig = field(default_factory=TransferConfig)
    """How plain token transfers are taken."""
    confirmations: int | None = None
    """Blocks that our transactions must have, their own counted; None: as the chain's profile says."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies that say in X-Forwarded-For whom they ask for."""
    more_sessions: Path | None = None
    """Visits beside those of `sessions`; also to chargers that are only looked at."""

    def observed(self) -> tuple[ObservedConfig, ...]:
        """Give every charger that is looked at and not billed."""
        return tuple(one for group in self.groups for one in group.observed)

    def connectors(self) -> dict[ConnectorRef, Connector]:
        """Give every connector by its reference."""
        return {
            connector.ref: connector
            for group in self.groups
            for station in group.stations
            for _, connector in station.connectors
        }


@dataclass(frozen=True, slots=True)
class Tariff:
    """What energy costs the site, hour by hour of one recorded span that repeats.

    `by_hour` is micro-currency per kWh for consecutive hours from `first`; after the last hour the
    span repeats, in whole weeks, so that weekdays stay weekdays.
    """

    first: datetime
    by_hour: tuple[Price, ...]

    def price_at(self, instant: datetime) -> Price:
        """Give the price of the hour that holds `instant`."""
        weeks = max(1, len(self.by_hour) // (7 * 24))
        hour = (instant - self.first) // timedelta(hours=1)
        return self.by_hour[hour % min(len(self.by_hour), weeks * 7 * 24)]


def load_site(path: Path) -> SiteConfig:
    """Read a site file; raises InvalidInput with the path of the wrong entry."""
    site = _Reader(_table(path), "")
    try:
        zone = ZoneInfo(site.text("time_zone"))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput("site.unknown_time_zone", str(error), path="time_zone") from error
    start = site.take("start", datetime)
    if start.tzinfo is None:
        raise InvalidInput("site.bad_entry", "write the start with its offset", path="start")
    if not FIRST_INSTANT <= start < LAST_INSTANT:
        raise InvalidInput("site.bad_entry", "the start is between the years 2000 and 2100", path="start")
    groups = tuple(_group(one, path.parent) for one in site.tables("group"))
    sessions = path.parent / site.file_name("sessions") if site.has("sessions") else None
    prices = path.parent / site.file_name("prices")
    seller = seller_of_site(site.take("seller", dict), zone.key) if site.has("seller") else None
    grids = grids_of(site.raw("grid"), frozenset(group.name for group in groups), path.parent)
    transfer = transfer_of(site.raw("transfer"))
    config = SiteConfig(site.text("name"), zone, start, groups, prices, sessions, seller, grids, transfer)
    if site.has("confirmations"):
        config = replace(config, confirmations=site.number("confirmations", 1, 1000))
    config = replace(config, trusted_proxies=proxies_of(site.raw("trusted_proxies")))
    if site.has("more_sessions"):
        config = replace(config, more_sessions=path.parent / site.file_name("more_sessions"))
    _refuse_duplicates(config)
    return config


def load_tariff(path: Path, zone: ZoneInfo) -> Tariff:
    """Read `hour,price` rows: local wall time of the site, EUR/MWh with decimals; header optional.

    EUR/MWh × 1000 is micro-currency per kWh. Local hours are taken as they stand: the hour that
    summer time skips or repeats is the file's business.
    """
    prices: list[Price] = []
    first: datetime | None = None
    number = 0
    try:
        text = read_file(path).decode()
        for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
            if number == 1 and not row[0][:1].isdigit():
                continue
            at = datetime.fromisoformat(row[0]).replace(tzinfo=zone)
            first = first or at
            prices.append(_price(row[1]))
    except OSError as error:
        what = f"no price file can be read at {path}: {error.strerror}"
        raise InvalidInput("site.not_found", what, path="prices") from error
    except (ValueError, IndexError, ArithmeticError, csv.Error) as error:
        raise InvalidInput("site.bad_prices", f"{path}, line {number}: {error}", path="prices") from error
    if first is None:
        raise InvalidInput("site.bad_prices", f"{path} holds no price", path="prices")
    if not FIRST_INSTANT.year <= first.year < LAST_INSTANT.year:
        raise InvalidInput("site.bad_prices", f"{path} begins in the year {first.year}", path="prices")
    return Tariff(first, tuple(prices))


def _price(eur_per_mwh: str) -> Price:
    value = Decimal(eur_per_mwh)
    if not abs(value) <= _MAX_EUR_PER_MWH:  # before it is made an integer: 1e999999999 has that many digits
        raise ValueError(f"{eur_per_mwh[:40]} EUR/MWh is no price")
    return Price(int((value * 1000).to_integral_value()))


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_file(path, _MAX_SITE_BYTES).decode())
    except OSError as error:
        raise InvalidInput(
            "site.not_found",
            f"no site file can be read at {path}: {error.strerror}",
            do="name one with --site; examples/ has two",
        ) from error
    except RecursionError as error:
        raise InvalidInput("site.not_toml", f"{path} nests too deeply") from error
    except ValueError as error:  # not TOML, not UTF-8, or a number or a date that Python cannot hold
        raise InvalidInput("site.not_toml", f"{path} is not TOML: {error}") from error


class _Reader:
    """Takes typed entries out of a TOML table, naming what is missing or wrong."""

    def __init__(self, table: dict[str, Any], at: str) -> None:
        self._table = table
        self._at = at

    def take(self, key: str, kind: type) -> Any:
        value = self._table.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._bad(key, f"{key} must be given, as {kind.__name__}")
        return value

    def has(self, key: str) -> bool:
        return key in self._table

    def raw(self, key: str) -> Any:
        return self._table.get(key)

    def text(self, key: str) -> str:
        value = str(self.take(key, str))
        if not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
            raise self._bad(key, f"{key} has 1 to {_LONGEST_TEXT} printable characters")
        return value

    def name(self, key: str) -> str:
        value = self.text(key)
        if not _NAME.fullmatch(value):
            raise self._bad(key, f"{key} has 1 to 64 letters, digits and hyphens")
        return value

    def file_name(self, key: str) -> str:
        value = str(self.take(key, str))
        if not value.isprintable() or not value:
            raise self._bad(key, f"{key} is the name of a file")
        return value

    def flag(self, key: str) -> bool:
        if not isinstance(self._table.get(key, False), bool):
            raise self._bad(key, f"{key} is true or false")
        return bool(self._table.get(key, False))

    def table(self, key: str) -> "_Reader":
        return _Reader(self.take(key, dict), f"{self._at}{key}.")

    def _bad(self, key: str, what: str) -> InvalidInput:
        return InvalidInput("site.bad_entry", what, path=f"{self._at}{key}")

    def parsed(self, key: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(self.text(key))
        except InvalidInput as error:
            error.path = f"{self._at}{key}"
            raise

    def number(self, key: str, least: int, most: int = MAX_DOCUMENT_INT) -> int:
        value = int(self.take(key, int))
        if not least <= value <= most:
            raise self._bad(key, f"{key} is at least {least} and at most {most}")
        return value

    def phases(self) -> int:
        phases = self.number("phases", 1, 3)
        if phases == 2:
            raise self._bad("phases", "phases is 1 or 3")
        return phases

    def meter_key(self) -> bytes:
        """Give the public key of a meter that signs: of a curve that can be checked here."""
        try:
            return checked_meter_key(str(self.take("meter_public_key", str)).encode())
        except EvmeshError as error:
            raise InvalidInput(
                error.code, error.what, do=error.do, path=f"{self._at}meter_public_key"
            ) from error

    def lines(self) -> tuple[int, ...]:
        """Give the lines of the supply that an outlet's phases are on; none where nothing is said."""
        if not self.has("lines"):
            return ()
        lines = lines_of(self._table["lines"], self.phases())
        if lines is None:
            raise self._bad("lines", "lines names one of 1, 2, 3 for each phase, none twice")
        return lines

    def bad(self, key: str, what: str) -> InvalidInput:
        return self._bad(key, what)

    def tables(self, key: str) -> list["_Reader"]:
        found = self._table.get(key)
        if not isinstance(found, list) or not found:
            raise self._bad(key, f"at least one [[{key}]] must be given")
        for number, one in enumerate(found):
            if not isinstance(one, dict):
                raise self._bad(f"{key}[{number}]", f"a table [[{key}]] must stand here")
        return [_Reader(one, f"{self._at}{key}[{number}].") for number, one in enumerate(found)]


def _group(reader: _Reader, beside: Path) -> GroupConfig:
    name = reader.text("name")
    wiring = wiring_of(reader)
    tables = reader.tables("station")
    stations = tuple(_station(one, name, wiring) for one in tables if kind_of(one) != MENNEKES)
    chargers = tuple(observed(one, wiring, beside) for one in tables if kind_of(one) == MENNEKES)
    if not stations:
        raise reader.bad("station", "a group has a station that can be steered")
    capacity = W(reader.number("capacity_w", 0))
    return GroupConfig(name, capacity, stations, with_observed(wiring, chargers), chargers)


def _station(reader: _Reader, group: str, wiring: Wiring) -> StationConfig:
    station = reader.parsed("id", StationId.parse)
    info = BootInfo(reader.text("vendor"), reader.text("model"), reader.text("serial"), "")
    part = part_of(reader, wiring)
    parts = made_of(reader) if kind_of(reader) == PARTS else None
    connectors = []
    for one in reader.tables("connector"):
        connectors.append(_connector(one, station, group, parts))
        check_lines(one, connectors[-1][1], part, wiring)
    if parts is not None and [one.ref.connector for _, one in connectors] != [1]:
        raise reader.bad("connector", "a station from parts has one connector, with the number 1")
    return StationConfig(station, info, tuple(connectors), part, parts)


def _connector(
    reader: _Reader, station: StationId, group: str, parts: MadeOf | None
) -> tuple[str, Connector]:
    least = MIN_CURRENT if parts is None else parts.least_current
    if reader.has("least_current_ma"):
        least = Milliamp(reader.number("least_current_ma", least))
    connector = Connector(
        ref=ConnectorRef(station, reader.number("number", 1)),
        evse_id=reader.parsed("evse_id", EvseId.parse),
        rating=W(reader.number("rating_w", 1)),
        phases=reader.phases(),
        max_current=Milliamp(reader.number("max_current_ma", least)),
        group=group,
        latitude_udeg=reader.number("latitude_udeg", -90_000_000, 90_000_000),
        longitude_udeg=reader.number("longitude_udeg", -180_000_000, 180_000_000),
        price=Price(reader.number("price", 1)),
        lines=reader.lines(),
        ocmf_key=reader.meter_key() if reader.has("meter_public_key") else b"",
        least_current=least,
    )
    return reader.name("name"), connector


def _refuse_duplicates(site: SiteConfig) -> None:
    keys = [
        key
        for group in site.groups
        for station in group.stations
        for name, connector in station.connectors
        for key in (name.lower(), str(connector.ref), str(connector.evse_id))
    ]
    keys += [one.name for one in site.observed()]
    keys += [name for group in site.groups for one in group.wiring.all_equipment for name in one.names]
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise InvalidInput("site.duplicate", f"{key} stands twice in the site file")
        seen.add(key)

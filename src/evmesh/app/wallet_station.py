"""A charge point as a wallet finds it: by its code in the public registry, and as its operator shows it.

What the two say must be the same. The registry is read from a node of the driver's choice, so an
operator, or who poses as one, cannot name another price, payee or deposit address than the public one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from evmesh.app.wallet_place import Place
from evmesh.domain.errors import IntegrityFailure, InvalidInput, ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import Price, parse_units
from evmesh.domain.station_code import code_of, counter_of, spaced
from evmesh.domain.stations import AssetFacts
from evmesh.domain.units import W
from evmesh.ledger.answers import printable
from evmesh.ledger.registry import AssetRegistry


@dataclass(frozen=True, slots=True)
class Station:
    """One place to plug in, as registered; what is only the operator's word says so."""

    code: str
    asset: int
    rating: W
    price: Price
    payee: Address
    deposit_address: Address
    latitude_udeg: int
    longitude_udeg: int
    name: str
    """The operator's word, as are the four below."""
    status: str
    min_deposit: int
    now: datetime
    zone: ZoneInfo

    def lines(self) -> list[str]:
        """Say where and what it is, to a person."""
        place = f"{_degrees(self.latitude_udeg, 'NS')} {_degrees(self.longitude_udeg, 'EW')}"
        return [
            f"station    {spaced(self.code)}  {self.name}  {self.rating / 1000:g} kW  {self.status}",
            f"where      {place}",
            f"paid to    {self.payee}",
        ]


async def find_station(place: Place, code: str) -> Station:
    """Read a station from the registry and from the operator's API.

    Raises InvalidInput for a mistyped code, Refused `station.not_registered`, `station.out_of_service` or
    `wallet.no_operator`, and IntegrityFailure `station.not_as_registered` where the two differ.
    """
    asset = counter_of(code)
    if place.api is None:
        raise InvalidInput(
            "wallet.no_operator", "no operator is named", do="name its platform with --operator URL"
        )
    facts = await AssetRegistry(place.rpc, place.trust.chain.registry).find(asset)
    if facts is None:
        raise Refused(
            "station.not_registered",
            f"no charge point with the code {spaced(code_of(asset))} is in the registry",
            do="compare the code with the charge point",
        )
    if not facts.active:
        raise Refused(
            "station.out_of_service",
            "the registry says that it is not in service",
            do="choose another charge point",
        )
    page = await place.api.station(code_of(asset))
    return _checked(place, facts, page)


def _checked(place: Place, facts: AssetFacts, page: dict[str, Any]) -> Station:
    """Hold the operator's page against the registry; what is paid for and to whom has to be the same."""
    flex = place.coin.is_flex
    try:
        chain = page["chain"]
        said = {
            "asset": int(page["asset"]),
            "payee": Address.parse(page["payee"]),
            "price": int(page["price"]),
            "rating": int(page["rating_w"]),
            "deposit address": Address.parse(page["deposit_address"]),
            "latitude": int(page["latitude_udeg"]),
            "longitude": int(page["longitude_udeg"]),
            "chain": int(chain["chain_id"]),
            "escrow": Address.parse(chain["flex_tab" if flex else "charge_tab"]),
            "token": Address.parse(chain["flex" if flex else "token"]),
        }
        name, status = printable(str(page["name"]), 60), printable(str(page["status"]), 40)
        now = datetime.fromisoformat(str(page["now"]))
        zone = ZoneInfo(str(page["time_zone"]))
        least = parse_units(page["min_deposit"])
    except (KeyError, TypeError, ValueError, OSError, InvalidInput) as error:
        raise ProtocolViolation("operator.bad_station", "the station's page cannot be read") from error
    registered = {
        "asset": facts.asset,
        "payee": facts.owner,
        "price": facts.price,
        "rating": facts.rating,
        "deposit address": facts.deposit_address,
        "latitude": facts.latitude_udeg,
        "longitude": facts.longitude_udeg,
        "chain": place.trust.chain.chain_id,
        "escrow": place.coin.escrow,
        "token": place.coin.token,
    }
    for what, here in registered.items():
        if said[what] != here:
            raise IntegrityFailure(
                "station.not_as_registered",
                f"the operator says {what} {said[what]}, and the registry has {here}",
                do="pay nothing here; tell the operator",
                path=what,
            )
    if facts.owner != place.payee:
        raise IntegrityFailure(
            "station.other_operator",
            f"this charge point is {facts.owner}'s, and not the operator's that was named",
            do="name the platform of its own operator with --operator URL",
        )
    return Station(
        code=facts.code,
        asset=facts.asset,
        rating=facts.rating,
        price=facts.price,
        payee=facts.owner,
        deposit_address=facts.deposit_address,
        latitude_udeg=facts.latitude_udeg,
        longitude_udeg=facts.longitude_udeg,
        name=name,
        status=status,
        min_deposit=least,
        now=now,
        zone=zone,
    )


def _degrees(udeg: int, signs: str) -> str:
    return f"{abs(udeg) // 10**6}.{abs(udeg) % 10**6:06}° {signs[udeg < 0]}"

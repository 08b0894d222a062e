"""Asking for a charge: the request is signed, the promise is checked, a refusal's proof too."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from evmesh.app.operator_client import NoPromise, OperatorClient
from evmesh.app.wallet_book import Charge
from evmesh.app.wallet_chain_clock import chain_time
from evmesh.app.wallet_money import Coin, named
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_station import Station
from evmesh.app.wallet_wish import Wish
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import cost_of
from evmesh.domain.offers import Promise
from evmesh.domain.problem_shape import read_answer, read_problem
from evmesh.domain.receipt_parts import pseudonym_of
from evmesh.domain.schedule import Refusal
from evmesh.domain.sessions import Way
from evmesh.domain.typed_data import digest, hash_struct
from evmesh.domain.units import Wh
from evmesh.ledger.signatures import EthereumSignatures, KeySigner, keccak256
from evmesh.verify.answer import verify_answer

_REQUEST_VALID: Final = timedelta(minutes=10)
_CLOCKS_APART_S: Final = 600


@dataclass(frozen=True, slots=True)
class Offer:
    """What would be accepted instead."""

    energy: Wh
    departure: datetime

    def to_json(self) -> dict[str, Any]:
        return {"energy_wh": self.energy, "departure": self.departure.isoformat()}


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The operator's no, whose certificate was checked."""

    code: str
    what: str
    deficit: Wh
    offers: tuple[Offer, ...]


def new_charge(station: Station, wish: Wish, energy: Wh, departure: datetime, coin: Coin) -> Charge:
    """Draw up a charge that was not asked for yet. The most it may cost is its price, no more."""
    return Charge(
        begun=datetime.fromtimestamp(int(station.now.timestamp()), UTC),
        code=station.code,
        name=station.name,
        asset=station.asset,
        rating=station.rating,
        price=station.price,
        payee=station.payee.text,
        deposit_address=station.deposit_address.text,
        min_deposit=station.min_deposit,
        way=wish.way,
        energy=energy,
        departure=int(departure.timestamp()),
        flexible=not wish.asap,
        max_cost=cost_of(energy, station.price),
        nonce=secrets.token_hex(32),
        deadline=int((station.now + _REQUEST_VALID).timestamp()),
        zone=station.zone.key,
        escrow=coin.escrow.text if coin.is_flex else "",
        currency=coin.symbol,
    )


async def require_same_time(place: Place, now: datetime, wall: datetime) -> None:
    """Raise Refused `station.other_time` where the operator's clock is neither the chain's nor ours.

    What is signed is good until a time that follows from it.
    """
    block = await chain_time(place.rpc)
    if min(abs(now.timestamp() - block), abs((now - wall).total_seconds())) > _CLOCKS_APART_S:
        raise Refused(
            "station.other_time",
            f"the operator says that it is {now:%Y-%m-%d %H:%M} UTC; the chain and this device do not",
            do="check this device's clock, or tell the operator",
        )


async def renew(place: Place, api: OperatorClient, charge: Charge, wall: datetime) -> None:
    """Let a request that is not signed yet hold from now on: a person has read it meanwhile."""
    try:
        now = datetime.fromisoformat(str((await api.station(charge.code))["now"]))
        charge.deadline = int((now + _REQUEST_VALID).timestamp())
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise ProtocolViolation("operator.bad_station", "the station's page cannot be read") from error
    await require_same_time(place, now, wall)


async def ask(place: Place, api: OperatorClient, signer: KeySigner, charge: Charge) -> Promise | NoRoom:
    """Send the signed request; give the promise, checked, or the refusal, checked.

    Raises IntegrityFailure for an offer that is not what was asked for, or a refusal that proves nothing.
    """
    domain = place.coin.domain
    request = charge.request(signer.address)
    document = {
        "station": charge.code,
        "request": {
            "payer": request.payer.text,
            "asset": request.asset,
            "departure": request.departure,
            "energy_wh": request.energy_wh,
            "flexible": request.flexible,
            "max_cost": str(request.max_cost),
            "nonce": "0x" + charge.nonce,
            "deadline": request.deadline,
        },
        "signature": "0x" + signer.sign(digest(domain, request, keccak256)).hex(),
        **named(place.coin),
    }
    answer = await api.ask(document)
    if isinstance(answer, NoPromise):
        row = pseudonym_of(hash_struct(request, keccak256))
        return await _refusal(api, answer, row, Wh(charge.energy))
    _require_way(charge.way, answer.get("risk"))
    promise = Promise.read(answer)
    payee = Address.parse(charge.payee)
    promise.check(request, payee, charge.price, domain, keccak256, EthereumSignatures().recover)
    return promise


def _require_way(way: Way, risk: object) -> None:
    """Raise Refused where the operator does not take this wallet's money in that way, before any is moved."""
    if way is Way.STREAMING and isinstance(risk, dict) and way not in risk:
        raise Refused(
            "voucher.prepaid_only",
            "this operator does not let the wallet pay as energy flows: an earlier charge took more than its "
            "vouchers paid for",
            do="pay ahead, with --way prepaid; what is not charged stays yours",
        )


async def _refusal(api: OperatorClient, answer: NoPromise, row: str, energy: Wh) -> NoRoom:
    """Check the certificate of a no: that energy cannot fit into the problem, and ours is in it."""
    try:
        number = int(answer.problem["refusal"])
        offers = tuple(
            Offer(Wh(int(one["energy_wh"])), datetime.fromisoformat(one["departure"]))
            for one in answer.problem["offers"]
        )
        steps = [int(step) for step in answer.problem["certificate"]["steps"]]
        deficit = Wh(int(answer.problem["certificate"]["deficit_wh"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolViolation("operator.bad_refusal", "the refusal cannot be read") from error
    problem_raw = await api.document(f"/v1/refusals/{number}/problem")
    schedule_raw = await api.document(f"/v1/refusals/{number}/schedule")
    if problem_raw is None or schedule_raw is None:
        raise _false("the operator does not show its proof")
    verdict = verify_answer(problem_raw, schedule_raw)
    if not verdict.ok:
        raise _false(f"its certificate is false ({verdict.code})")
    certificate, problem = read_answer(schedule_raw), read_problem(problem_raw)
    if not isinstance(certificate, Refusal):
        raise _false("what it shows is no refusal")
    if list(certificate.steps) != steps or certificate.deficit_wh != deficit:
        raise _false("it differs from what the operator answered")
    try:
        ours = problem.request(row)
    except InvalidInput as error:
        raise _false("the request is not in the problem that it is about") from error
    if ours.energy_wh > energy:
        raise _false("it is about more energy than was asked for")
    return NoRoom(answer.code, answer.what, deficit, offers)


def _false(why: str) -> EvmeshError:
    return IntegrityFailure(
        "refusal.not_proven", f"the operator refused, and {why}", do="choose another operator; tell this one"
    )

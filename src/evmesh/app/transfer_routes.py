"""What became of a plain transfer, for who sent it from a wallet that we know nothing of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse

from evmesh.app.callers import address_of
from evmesh.app.instants import instant
from evmesh.app.problems import problem
from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.station_code import code_of
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import Deposit, Payout, SeenTransfer, Transfer, TransferRef, budget_of, split
from evmesh.ledger.quota import RelayQuota
from evmesh.ports import DepositChain, Unit
from evmesh.services.directory import Directory, Place
from evmesh.services.transfers import Transfers
from evmesh.services.transfers_payout import received_of
from evmesh.services.transitions import Transitions

LOOKUPS_PER_ADDRESS: Final = 3_600
"""How often an hour one network address may ask: each time the chain is asked too."""

_MOST_SHOWN: Final = 100
"""Anybody may send dust; of each list so many are shown, of the operator's the newest."""

Json = dict[str, Any]
TxHash = Annotated[str, InPath(pattern=r"^0x[0-9a-f]{64}$")]
Position = Annotated[int, Query(ge=0, le=MAX_DOCUMENT_INT)]

TOO_LITTLE: Final = (
    "send at least what is missing to the same address: amounts of one sender add up there; "
    "what stays below the minimum starts nothing and is not sent back"
)


@dataclass(frozen=True, slots=True)
class TransferViews:
    """Reads what the store and the chain say of transfers."""

    transitions: Transitions
    directory: Directory
    transfers: Transfers
    chain: DepositChain
    asked: RelayQuota
    """Counts who asks, by network address."""

    async def terms(self, place: Place) -> Json:
        """Give what a driver has to know before paying, for the page of a station, and as it was signed."""
        try:
            terms = await self.transfers.terms(place)
        except EvmeshError as error:
            terms = error.code
        shown = {"open": False, "why": terms} if isinstance(terms, str) else _terms(terms)
        return {"transfer": shown}

    async def word(self, tx_hash: bytes, position: int) -> bytes | None:
        """Give the signed word that a transfer goes back; None where nothing of the kind was decided."""
        async with self.transitions.read() as unit:
            transfer = await unit.transfer(TransferRef(tx_hash, position))
            named = transfer.deposit if transfer else None
            deposit = await unit.deposit(named) if named else None
        return deposit.word or None if deposit else None

    async def of_transaction(self, tx_hash: bytes) -> Json | None:
        """Give what one transaction brought and what became of it; None where nobody knows it."""
        quote = await self.transfers.quote()
        async with self.transitions.read() as unit:
            stored = await unit.transfers_in(tx_hash)
            waits = {one.asset for one in stored if one.deposit is None and not one.aside}
            waiting = await unit.waiting_amounts() if waits else {}
        # Asked for in between: they may be signed now, in a database transaction of their own.
        terms = {asset: await self.transfers.terms(self.directory.by_asset(asset)) for asset in waits}
        async with self.transitions.read() as unit:
            shown = [await self._stored(unit, one, waiting, terms) for one in stored[:_MOST_SHOWN]]
        found = await self.chain.of_transaction(tx_hash)
        if not stored and found is not None:
            shown = [self._confirming(one) for one in found[1][:_MOST_SHOWN]]
        if not shown:
            return None
        head = await self.chain.head()
        return {
            "tx_hash": "0x" + tx_hash.hex(),
            "confirmations": 0 if found is None else max(0, head - found[0] + 1),
            "confirmations_needed": quote.confirmations,
            "transfers": shown,
        }

    async def overview(self) -> Json:
        """Give what lies at deposit addresses, for the operator."""
        async with self.transitions.read() as unit:
            held, unseen = await unit.held(), await unit.unseen()
            waiting = await unit.waiting_transfers(_MOST_SHOWN)
            aside = await unit.transfers_aside(_MOST_SHOWN)
            open_deposits = (await unit.unsettled_deposits())[-_MOST_SHOWN:]
        return {
            "held": {code_of(asset): str(amount) for asset, amount in held.items()},
            "unseen": {code_of(asset): str(amount) for asset, amount in unseen.items()},
            "waiting": [_plain(one) for one in waiting],
            "too_little": TOO_LITTLE if waiting else None,
            "set_aside": [_plain(one) | {"why": one.aside.value} for one in aside],
            "unsettled": [_deposit(one) for one in open_deposits],
        }

    async def _stored(
        self,
        unit: Unit,
        one: Transfer,
        waiting: Mapping[tuple[Address, int], int],
        terms: Mapping[int, TransferTerms | str],
    ) -> Json:
        shown = _plain(one) | {"status": "waiting", "session": None, "returned": None}
        if one.aside:
            return shown | {"status": "set_aside", "why": one.aside.value}
        deposit = None if one.deposit is None else await unit.deposit(one.deposit)
        if deposit is None:
            return shown | _waiting(waiting.get((one.sender, one.asset), 0), terms.get(one.asset, ""))
        session = deposit.session.text if deposit.session else None
        status = "charge" if session else "return"
        return shown | {"status": status, "session": session} | await _outcome(unit, deposit)

    def _confirming(self, one: SeenTransfer) -> Json:
        asset = next(
            place.asset for place in self.directory.all_places if place.deposit_address == one.receiver
        )
        return _plain(one, asset) | {"status": "confirming", "session": None, "returned": None}


def _waiting(so_far: int, terms: TransferTerms | str) -> Json:
    """Say what waits, and what becomes of it: amounts add up, and what stays too little stays."""
    told: Json = {"so_far": str(so_far)}
    if isinstance(terms, str):
        return told | {"why": terms or None}
    missing = max(0, terms.minimum - so_far)
    told |= {"minimum": str(terms.minimum), "missing": str(missing)}
    return told | {"why": "transfer.too_little", "do": TOO_LITTLE} if missing else told


async def _outcome(unit: Unit, deposit: Deposit) -> Json:
    """Give what of a deposit has been decided: a return that is on its way, or a session's."""
    returned = None
    if deposit.session is None and deposit.returned is None:
        parts = split(received_of(await unit.transfers_of(deposit.ref)), 0, deposit.fee)
        returned = {"amount": str(parts.returned), "tx_hash": None}
    if deposit.returned is not None:
        returned = _payout(deposit.returned)
    return {"why": deposit.reason or None, "fee": str(deposit.fee), "returned": returned}


def _terms(terms: TransferTerms) -> Json:
    return {
        "open": True,
        "why": None,
        "minimum": str(terms.minimum),
        "fee": str(terms.fee),
        "budget_of_minimum": str(budget_of(terms.minimum, terms.fee)),
        "confirmations": terms.confirmations,
        "terms": terms.to_json(),
    }


def _payout(payout: Payout) -> Json:
    tx_hash = "0x" + payout.tx_hash.hex() if payout.tx_hash else None
    return {"amount": str(payout.amount), "tx_hash": tx_hash}


def _plain(one: Transfer | SeenTransfer, asset: int | None = None) -> Json:
    known = one.asset if isinstance(one, Transfer) else asset
    return {
        "tx_hash": "0x" + one.ref.tx_hash.hex(),
        "position": one.ref.position,
        "log_index": one.log_index,
        "block": one.block,
        "sender": one.sender.text,
        "code": code_of(known) if known else None,
        "amount": str(one.amount),
    }


def _deposit(one: Deposit) -> Json:
    return {
        "opened_by": one.ref.text,
        "code": code_of(one.asset),
        "sender": one.sender.text,
        "session": one.session.text if one.session else None,
        "why": one.reason or None,
        "since": instant(one.opened_at),
    }


def add_transfers(app: FastAPI, views: TransferViews) -> None:
    """Add the routes."""

    @app.get("/v1/transfers/{tx_hash}")
    async def transfer(tx_hash: TxHash, request: Request) -> JSONResponse:
        """Find the charge, or the return, that a plain transfer became."""
        views.asked.take(address_of(request))
        found = await views.of_transaction(bytes.fromhex(tx_hash[2:]))
        if found is None:
            error = InvalidInput(
                "transfer.unknown",
                "the chain has no such transfer to a charge point here",
                do="wait until it is in a block, and compare the hash with your wallet's",
            )
            return problem(error, status=404)
        return JSONResponse(found)

    @app.get("/v1/transfers/{tx_hash}/return")
    async def word(tx_hash: TxHash, request: Request, position: Position = 0) -> Response:
        """The operator's signed word that a transfer goes back: `evmesh.return/1`."""
        views.asked.take(address_of(request))
        raw = await views.word(bytes.fromhex(tx_hash[2:]), position)
        if raw is None:
            return problem(InvalidInput("transfer.no_return", "no return of it was decided"), status=404)
        return Response(raw, media_type="application/json")

    @app.get("/v1/transfers")
    async def overview(request: Request) -> Json:
        """What lies at the deposit addresses: too little to start, set aside, not told of by any event."""
        views.asked.take(address_of(request))
        return await views.overview()

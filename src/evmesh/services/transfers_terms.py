"""The terms on which transfers are taken, signed before anybody pays, and which of them hold for what came.

They say price and fee for some hours ahead, and are renewed when half of that is over: who has read
them can pay in peace, and who has read none is paid back by those that were in force all the same.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.receipt_parts import StationRef
from evmesh.domain.signed_document import SignedDocument
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import TransferQuote
from evmesh.services.directory import Directory, Operator, Place
from evmesh.services.receipts import chain_ref
from evmesh.services.transitions import Transitions

HOLD: Final = timedelta(hours=6)
"""How long terms hold: a price of gas that rises meanwhile is the operator's loss."""

_KEPT: Final = timedelta(days=7)
"""How long terms that nobody paid under are kept: what came while we were away is decided by them."""

Sign = Callable[[SignedDocument], bytes]
"""Gives a document's canonical bytes with the payee's signature."""


class TransferTermsDesk:
    """Signs terms, and finds those that were in force."""

    def __init__(
        self, transitions: Transitions, directory: Directory, operator: Operator, sign: Sign
    ) -> None:
        self._transitions = transitions
        self._directory = directory
        self._operator = operator
        self._sign = sign
        self._newest: dict[int, TransferTerms] = {}
        self._is_loaded = False

    async def renew(self, quote: TransferQuote) -> bool:
        """Sign new terms where those of a charge point end soon or are out of date; tell whether any were."""
        if not self._is_loaded:
            await self._load()
        now = self._transitions.clock.now().replace(microsecond=0)
        due = [place for place in self._directory.places if self._is_due(place, quote, now)]
        if due:
            await self._issue(due, quote, now)
        return bool(due)

    async def of(self, place: Place, quote: TransferQuote) -> TransferTerms:
        """Give the terms in force at a charge point; signed now where none are."""
        now = self._transitions.clock.now().replace(microsecond=0)
        if not self._is_loaded:
            await self._load()
        if self._is_due(place, quote, now):
            await self._issue([place], quote, now)
        return self._newest[place.asset]

    async def held_to(self, place: Place, paid_at: Iterable[datetime], quote: TransferQuote) -> TransferTerms:
        """Give the best terms for the driver of those in force when it was paid, or else today's."""
        found: list[TransferTerms] = []
        async with self._transitions.read() as unit:
            for instant in paid_at:
                found += await unit.transfer_terms_at(place.asset, instant)
        # Contracts and deposit addresses are for ever, but a directory may be set up anew.
        mine = [one for one in found if one.payee == self._operator.payee.address and _is_of(one, place)]
        return min(mine, key=_dearness, default=None) or await self.of(place, quote)

    async def _load(self) -> None:
        now = self._transitions.clock.now()
        async with self._transitions.read() as unit:
            for place in self._directory.all_places:
                for terms in await unit.transfer_terms_at(place.asset, now):
                    self._newest[place.asset] = terms
        self._is_loaded = True

    def _is_due(self, place: Place, quote: TransferQuote, now: datetime) -> bool:
        known = self._newest.get(place.asset)
        if known is None or not _is_of(known, place):
            return True
        # Nobody pays a tenth more than gas is worth; a fee that has risen waits for the others to end.
        is_other = (known.price, known.confirmations) != (place.connector.price, quote.confirmations)
        is_dear = known.fee * 9 > quote.fee * 10 or known.minimum * 9 > quote.minimum * 10
        return now >= known.valid_until - HOLD / 2 or is_dear or is_other

    async def _issue(self, places: Sequence[Place], quote: TransferQuote, now: datetime) -> None:
        signed = [self._signed(place, quote, now) for place in places]
        async with self._transitions.begin() as work:
            for terms in signed:
                await work.unit.add_transfer_terms(terms)
            await work.unit.forget_transfer_terms(work.now - _KEPT)
        self._newest |= {terms.station.asset: terms for terms in signed}

    def _signed(self, place: Place, quote: TransferQuote, now: datetime) -> TransferTerms:
        terms = TransferTerms(
            chain=chain_ref(self._operator.contracts),
            station=station_ref(place),
            deposit_address=place.deposit_address,
            price=place.connector.price,
            fee=quote.fee,
            minimum=quote.minimum,
            confirmations=quote.confirmations,
            valid_from=now,
            valid_until=now + HOLD,
            payee=self._operator.payee.address,
        )
        return TransferTerms.parse(self._sign(terms))


def station_ref(place: Place) -> StationRef:
    """Give a charge point as documents name it."""
    return StationRef(place.asset, place.code, place.connector.evse_id, place.connector.ref.station)


def _is_of(terms: TransferTerms, place: Place) -> bool:
    return (terms.station, terms.deposit_address) == (station_ref(place), place.deposit_address)


def _dearness(terms: TransferTerms) -> tuple[int, int, int]:
    return terms.price, terms.fee, terms.minimum

"""A transfer becomes a charge, more money for one, or goes back: what is decided about money that came.

Nobody signed a request. What a transfer counts as is fixed: as much energy as its amount pays for,
less the fee of a return, as fast as possible, within a day. It passes the same admission as a signed
request, and the session goes the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import Price, cost_of, energy_within
from evmesh.domain.sessions import ChargeTerms, Event, Session, State, Way
from evmesh.domain.station_code import ALPHABET
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import (
    MAX_TRANSFERS,
    STAY,
    Deposit,
    Transfer,
    TransferPolicy,
    TransferQuote,
    budget_of,
    named_again,
    request_nonce,
)
from evmesh.domain.units import W, Wh, energy_from_watts
from evmesh.planning.admission import RefusedRequest
from evmesh.ports import DepositChain, Randomness, Signatures
from evmesh.services.directory import Directory, Place
from evmesh.services.live import LiveState
from evmesh.services.plans import Admission, Planner
from evmesh.services.requests import Requests
from evmesh.services.transfers_carless import PLUG_IN_FIRST, CarlessTransfers
from evmesh.services.transfers_open import DepositDesk, take
from evmesh.services.transfers_payout import received_of, terms_of
from evmesh.services.transfers_terms import TransferTermsDesk
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)

_REQUEST_HOLDS: Final = timedelta(minutes=10)
_QUOTE_HOLDS_S: Final = 60.0
"""Seconds of platform time for which a fee is told before gas is priced anew."""

_CLOSED_HOLDS_S: Final = 300.0
"""Seconds of platform time after which a token that would not pay out is tried again."""

_GRACE: Final = timedelta(minutes=2)
"""How long money waits for a station that is away, or not yet back after our own start, or for a car
that must be there first."""

_MAY_PASS: Final = frozenset({"station.out_of_service", PLUG_IN_FIRST})
"""Refusals that money waits for a while."""

_DOUBTFUL_AT_ONCE: Final = 100
"""Of senders who have not sent enough by today's terms so many are looked at in a row."""

_CAME_BACK: Final = "transfer.came_back"

_JOINABLE: Final = frozenset({State.FUNDED, State.STARTING, State.CHARGING, State.SUSPENDED, State.STOPPING})
"""What more money of the same sender is for the running charge."""


@dataclass(frozen=True, slots=True)
class _Quoted:
    quote: TransferQuote
    at: float


class Transfers:
    """Decides about transfers that are deep enough in the chain."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        planner: Planner,
        requests: Requests,
        chain: DepositChain,
        signatures: Signatures,
        randomness: Randomness,
        policy: TransferPolicy,
        return_gas: int,
        live: LiveState,
        terms: TransferTermsDesk,
        deposits: DepositDesk,
    ) -> None:
        """`return_gas` is what a return uses: with the price of gas it makes the fee and the minimum."""
        self._transitions = transitions
        self._directory = directory
        self._planner = planner
        self._requests = requests
        self._chain = chain
        self._signatures = signatures
        self._randomness = randomness
        self._policy = policy
        self._return_gas = return_gas
        self._carless = CarlessTransfers(directory, live)
        self._terms = terms
        self._deposits = deposits
        self._too_little: dict[tuple[Address, int], int] = {}
        self._quoted: _Quoted | None = None
        self._closed: str | None = None
        self._tried_at = 0.0
        self._began: datetime | None = None

    async def quote(self) -> TransferQuote:
        """Give what terms are made of now; raises Unavailable without a chain."""
        now = self._transitions.clock.monotonic()
        if self._quoted is not None and now < self._quoted.at + _QUOTE_HOLDS_S:
            return self._quoted.quote
        closed = await self._why_closed(now)
        fee = self._policy.fee(self._return_gas, await self._chain.gas_price())
        quote = TransferQuote(self._policy.minimum(fee), fee, self._policy.confirmations, closed)
        self._quoted = _Quoted(quote, now)
        return quote

    async def _why_closed(self, now: float) -> str:
        """Ask the token once, and every few minutes where it said no: the answer may have been another's."""
        if not self._policy.enabled:
            return "transfer.disabled"
        if self._closed is None or (self._closed and now >= self._tried_at + _CLOSED_HOLDS_S):
            self._closed, self._tried_at = await self._chain.why_closed(), now
        return self._closed

    async def terms(self, place: Place) -> TransferTerms | str:
        """Give the signed terms of a charge point now, or the code of why it takes no transfers."""
        quote = await self.quote()
        return quote.closed or await self._terms.of(place, quote)

    async def decide(self) -> None:
        """Look at all money that waits: begin charges, add to them, or open returns."""
        quote = await self.quote()
        if quote.closed:
            return
        if await self._terms.renew(quote):
            self._too_little.clear()
        async with self._transitions.read() as unit:
            waiting = await unit.waiting_amounts()
        for (sender, asset), amount in self._worth_a_look(waiting, quote.minimum):
            try:
                if not await self._decide(sender, self._directory.by_asset(asset), quote):
                    self._too_little[sender, asset] = amount
            except Unavailable:
                raise
            except EvmeshError as error:  # this money waits, and keeps nobody else's waiting
                _log.error("transfer.not_decided", sender=sender.text, asset=asset, why=error.describe())

    def _worth_a_look(
        self, waiting: Mapping[tuple[Address, int], int], minimum: int
    ) -> Sequence[tuple[tuple[Address, int], int]]:
        """Give what may be enough: first what surely is, then what may have been by earlier terms.

        Whoever sends dust is looked at once and not at each look of ours, and keeps nobody waiting.
        """
        news = [one for one in waiting.items() if self._too_little.get(one[0]) != one[1]]
        enough = [one for one in news if one[1] >= minimum]
        return [*enough, *[one for one in news if one[1] < minimum][:_DOUBTFUL_AT_ONCE]]

    async def _decide(self, sender: Address, place: Place, quote: TransferQuote) -> bool:
        """Decide about one sender's money at one place; False where it is too little for anything."""
        async with self._transitions.read() as unit:
            waiting = await unit.waiting_of(sender, place.asset, MAX_TRANSFERS)
        terms = await self._terms.held_to(place, await self._paid_at(waiting), quote)
        if received_of(waiting) < terms.minimum:
            return False
        try:
            async with self._transitions.begin() as work:
                waiting = await work.unit.waiting_of(sender, place.asset, MAX_TRANSFERS)
                if received_of(waiting) < terms.minimum:
                    return False
                if not await self._join(work, sender, place, waiting):
                    await self._start(work, place, waiting, terms)
        except Refused as refusal:
            if refusal.code in _MAY_PASS and self._is_young(waiting):
                return True
            async with self._transitions.begin() as work:
                await self._deposits.to_return(work, place, waiting, terms, refusal.code)
            _log.info("transfer.returned", sender=sender.text, asset=place.asset, why=refusal.code)
        self._transitions.wake()
        return True

    async def _paid_at(self, waiting: Sequence[Transfer]) -> Sequence[datetime]:
        """Give the times of the first and the last of these transfers, as far as the chain tells."""
        blocks = sorted({one.block for one in (*waiting[:1], *waiting[-1:])})
        times = [await self._chain.block_time(one) for one in blocks]
        return [one for one in times if one is not None]

    def _is_young(self, waiting: Sequence[Transfer]) -> bool:
        """Tell whether a station that is away, or a car, has had no time yet to come (back)."""
        now = self._transitions.clock.now()
        self._began = self._began or now
        newest = max([self._began, *(one.seen_at for one in waiting)])
        return now < newest + _GRACE

    async def _start(
        self, work: Work, place: Place, waiting: Sequence[Transfer], terms: TransferTerms
    ) -> None:
        """Reserve, fund and start in one: the money is here. Raises Refused where there can be no charge."""
        if place.connector.group not in self._directory.groups:
            raise Refused("station.retired", "the charge point has left the site")
        await self._requests.require_free(work, place)
        await self._carless.check(work, place, waiting[0].sender)
        salt = self._randomness(32)
        wanted = self._session(work.now, place, waiting, terms, salt)
        session, admission = await self._admitted(work, place, wanted)
        session = self._requests.with_offer(session, admission.stored.schedule_sha256)
        await work.unit.save_plan(admission.stored)
        await work.unit.add_session(session, "transfer")
        work.applied.append(Event.RESERVE)
        await self._deposits.for_session(work, place, waiting, terms, session.id, salt)
        funded = await work.apply(session, Event.FUND, "transfer")
        await work.apply(funded, Event.START, "admitted")

    async def _admitted(self, work: Work, place: Place, session: Session) -> tuple[Session, Admission]:
        """Admit all that the money pays for, or else the most that fits within the stay."""
        group = self._directory.groups[place.connector.group]
        answer = await self._planner.admit(work.unit, group, work.now, session)
        if isinstance(answer, RefusedRequest):
            departure = answer.problem.request(self._planner.pseudonym(session)).departure
            most = max((one.energy_wh for one in answer.offers if one.departure == departure), default=0)
            if cost_of(Wh(most), session.terms.price) < self._policy.least:
                raise Refused("request.refused", "there is no capacity for a charge within a day")
            session = replace(session, terms=replace(session.terms, energy=Wh(most)))
            answer = await self._planner.admit(work.unit, group, work.now, session)
        if isinstance(answer, RefusedRequest):
            raise Refused("request.refused", "there is no capacity for a charge within a day")
        return session, answer

    def _session(
        self, now: datetime, place: Place, waiting: Sequence[Transfer], signed: TransferTerms, salt: bytes
    ) -> Session:
        first = waiting[0]
        budget = budget_of(received_of(waiting), signed.fee)
        return Session(
            id=SessionId.make(int(now.timestamp() * 1000), self._randomness(10)),
            state=State.RESERVED,
            terms=ChargeTerms(
                payer=first.sender,
                connector=place.connector.ref,
                asset=place.asset,
                arrival=now,
                departure=(now + STAY).replace(microsecond=0),
                energy=_energy(budget, signed.price, place.connector.rating, Wh(0)),
                flexible=False,
                price=signed.price,
                budget=budget,
                base=0,
                epoch=0,
                escrow=signed.chain.charge_tab,
                way=Way.TRANSFER,
            ),
            id_tag="".join(ALPHABET[byte % 32] for byte in self._randomness(20)),
            request_signature=b"",
            request_nonce=request_nonce(salt, first.ref, self._signatures.keccak256),
            request_deadline=int((now + _REQUEST_HOLDS).timestamp()),
            max_cost=budget,
            offer_signature=b"",
            plan_sha256="",
            voucher_signature=None,
            created_at=now,
            changed_at=now,
        )

    async def _join(self, work: Work, sender: Address, place: Place, waiting: Sequence[Transfer]) -> bool:
        """Add money to the sender's charge here; False where none runs, or it can take no more transfers.

        More energy is promised only where everybody else still gets what was promised; what the money
        pays for and the plan does not give is returned with the remainder.
        """
        found = [
            one
            for one in await work.unit.sessions(open_only=True)
            if one.terms.way is Way.TRANSFER
            and one.terms.payer == sender
            and one.terms.asset == place.asset
            and one.state in _JOINABLE
        ]
        deposit = await work.unit.deposit_of(found[0].id) if found else None
        if deposit is None:
            return False
        known = await work.unit.transfers_of(deposit.ref)
        if len(known) + len(waiting) > MAX_TRANSFERS:
            return False
        await take(work, deposit, waiting)
        await self.rebudget(work, found[0], deposit)
        return True

    async def give_back(self, work: Work, transfer: Transfer, settled: Deposit) -> None:
        """Open the return of a transfer that the chain brought again after its deposit was settled.

        It starts nothing: who sent it has left long since.
        """
        times = 1
        while await work.unit.deposit(named_again(transfer.ref, times)) is not None:
            times += 1
        place, name = self._directory.by_asset(transfer.asset), named_again(transfer.ref, times)
        terms = await terms_of(work.unit, settled.terms)
        await self._deposits.to_return(work, place, [transfer], terms, _CAME_BACK, name)
        _log.warning("transfer.returned", sender=transfer.sender.text, asset=place.asset, why=_CAME_BACK)

    async def rebudget(self, work: Work, session: Session, deposit: Deposit) -> Session:
        """Set a session's budget to what the chain has of its deposit, and its energy where that fits."""
        received = received_of(await work.unit.transfers_of(deposit.ref))
        place = self._directory.by_asset(session.terms.asset)
        budget = budget_of(received, deposit.fee)
        terms = session.terms
        rebudgeted = replace(
            session,
            terms=replace(terms, budget=budget),
            offered_energy=terms.energy if session.offered_energy is None else session.offered_energy,
            offered_budget=terms.budget if session.offered_budget is None else session.offered_budget,
        )
        await work.unit.touch_session(rebudgeted)
        energy = _energy(budget, terms.price, place.connector.rating, terms.energy)
        group = self._directory.groups.get(place.connector.group)
        if energy > terms.energy and group is not None and session.state is not State.STOPPING:
            _, before = await self._planner.replan(work.unit, group, work.now)
            raised = replace(rebudgeted, terms=replace(rebudgeted.terms, energy=energy))
            await work.unit.touch_session(raised)
            _, after = await self._planner.replan(work.unit, group, work.now)
            if all(wh <= before.get(id, 0) for id, wh in after.items()):
                return raised
            await work.unit.touch_session(rebudgeted)
            await self._planner.replan(work.unit, group, work.now)
        return rebudgeted


def _energy(budget: int, price: Price, rating: W, least: Wh) -> Wh:
    """Give the most that a budget pays for, and that a connector can deliver within the stay."""
    steps = int(STAY.total_seconds()) // STEP_S
    deliverable = Wh(energy_from_watts(rating, STEP_S) * steps)
    paid_for = energy_within(budget, price)
    return Wh(max(least, deliverable if paid_for is None else min(paid_for, deliverable)))

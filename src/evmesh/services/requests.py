"""A driver asks, and gets a promise with its proof, or a refusal with its proof and what would fit."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from evmesh.domain.chain import Tab
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.evidence import RefusalRecord
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import cost_of
from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.problem import write_problem
from evmesh.domain.problem_shape import read_answer
from evmesh.domain.schedule import Refusal, write_schedule
from evmesh.domain.sessions import (
    NO_CAR_TIMEOUT,
    OCCUPYING,
    RESERVATION_TTL,
    ChargeTerms,
    Session,
    State,
)
from evmesh.domain.signed_types import ChargeRequest, SessionOffer
from evmesh.domain.station_code import ALPHABET
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.typed_data import digest, hash_struct
from evmesh.domain.units import Wh
from evmesh.planning.admission import RefusedRequest
from evmesh.ports import Randomness, Signatures
from evmesh.services.directory import Directory, Operator, Place
from evmesh.services.escrows import Escrows, Money
from evmesh.services.live import LiveState
from evmesh.services.plan_in_force import Plan, parse_plan
from evmesh.services.plans import Planner, request_of
from evmesh.services.request_checks import check_money, check_times
from evmesh.services.reservations import Reservations, time_to_pay
from evmesh.services.starts import NO_ROOM
from evmesh.services.tab_memory import TabMemory
from evmesh.services.transitions import Transitions, Work

_OCCUPIED = frozenset(
    {
        ConnectorStatus.CHARGING,
        ConnectorStatus.SUSPENDED_EV,
        ConnectorStatus.SUSPENDED_EVSE,
        ConnectorStatus.FINISHING,
        ConnectorStatus.RESERVED,
    }
)
"""A car is there that is not the asking driver's; `Preparing` may be: who plugs in first asks then."""

_OUT_OF_SERVICE = frozenset({ConnectorStatus.FAULTED, ConnectorStatus.UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Promise:
    """A yes: the reservation, the operator's signed offer, and the plan that holds it."""

    session: Session
    offer: SessionOffer
    plan: Plan


@dataclass(frozen=True, slots=True)
class NotPromised:
    """A no: what is kept of it, and the certificate that proves it."""

    record: RefusalRecord
    certificate: Refusal


class Requests:
    """Admits drivers."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        planner: Planner,
        live: LiveState,
        tabs: TabMemory,
        signatures: Signatures,
        operator: Operator,
        randomness: Randomness,
        escrows: Escrows,
    ) -> None:
        self._escrows = escrows
        self._transitions = transitions
        self._directory = directory
        self._planner = planner
        self._live = live
        self._tabs = tabs
        self._signatures = signatures
        self._operator = operator
        self._randomness = randomness
        self._reservations = Reservations(directory)

    async def request(
        self,
        code: str,
        request: ChargeRequest,
        signature: bytes,
        *,
        source: str = "",
        escrow: Address | None = None,
    ) -> Promise | NotPromised:
        """Decide about a signed request; the same request again gets the same answer.

        `source` is the network address it came from, where one is known; `escrow` names the money to pay
        in, None the site's own. Raises InvalidInput for what the driver can mend, Refused where the
        connector or the driver has an open session or too many promises are unpaid, IntegrityFailure for
        another's signature, Unavailable without a chain.
        """
        place = self._directory.by_code(code)
        money = self._escrows.chosen(escrow)
        self._check_signature(place, request, signature, money)
        async with self._transitions.begin() as work:
            if (answered := await self._answered(work, request, money)) is not None:
                return answered
            check_times(request, work.now)
            # Before the tab is read: with no session of this payer open, every claim is in it.
            await self._check_free(work, place, request.payer)
        seen = await self._tabs.look(money.address, request.payer)
        tab = seen.tab
        await check_money(place, request, seen, money)
        async with self._transitions.begin() as work:
            if (answered := await self._answered(work, request, money)) is not None:
                return answered
            await self._check_free(work, place, request.payer)
            await self._tabs.require_not_closing(
                work.unit, self._tabs.ref(money.address, request.payer), seen
            )
            session = self._reservation(work.now, place, request, signature, tab, money)
            if not _is_secured(session.terms.budget, tab):
                await self._reservations.check(work, place, request.payer, session.terms.budget, source)
            answer = await self._decide(work, place, session)
        self._reservations.note(session.id, source)
        return answer

    async def _decide(self, work: Work, place: Place, session: Session) -> Promise | NotPromised:
        group = self._directory.groups[place.connector.group]
        answer = await self._planner.admit(work.unit, group, work.now, session)
        if isinstance(answer, RefusedRequest):
            record = _record(work.now, place, session, answer)
            await work.unit.add_refusal(record)
            return NotPromised(record, answer.certificate)
        promised = self.with_offer(session, answer.stored.schedule_sha256)
        await work.unit.save_plan(answer.stored)
        await work.unit.add_session(promised, "accepted")
        work.applied.append("reserve")
        return Promise(promised, self.offer_of(promised), parse_plan(answer.stored))

    async def _answered(
        self, work: Work, request: ChargeRequest, money: Money
    ) -> Promise | NotPromised | None:
        """Give the answer that this very request got before: a nonce is answered once."""
        session = await work.unit.session_of_request(request.payer, request.nonce)
        if session is not None:
            if request_of(session) != request or self._escrows.of(session) is not money:
                raise InvalidInput(
                    "request.nonce_used",
                    "this wallet has used the nonce for another request",
                    do="sign the request with a fresh random nonce",
                    path="request.nonce",
                )
            return await self._promise(work, session)
        record = await work.unit.refusal_of(request.payer, request.nonce)
        if record is None:
            return None
        certificate = read_answer(record.schedule)
        if not isinstance(certificate, Refusal):
            raise IntegrityFailure("refusal.no_certificate", f"refusal {record.number} holds another file")
        return NotPromised(record, certificate)

    async def _promise(self, work: Work, session: Session) -> Promise:
        stored = await work.unit.plan_of(session.plan_sha256)
        if stored is None:
            raise IntegrityFailure("plan.missing", f"the plan of session {session.id} is not stored")
        return Promise(session, self.offer_of(session), parse_plan(stored))

    def offer_of(self, session: Session) -> SessionOffer:
        """Give the offer that the operator signed for a session."""
        terms = session.terms
        return SessionOffer(
            session=session.id.to_bytes32(),
            payer=terms.payer,
            payee=self._operator.payee.address,
            epoch=terms.epoch,
            base=terms.base,
            asset=terms.asset,
            price=terms.price,
            budget=terms.budget if session.offered_budget is None else session.offered_budget,
            start_by=int((session.created_at + RESERVATION_TTL + NO_CAR_TIMEOUT).timestamp()),
            end_by=int((terms.departure + END_GRACE).timestamp()),
            request=hash_struct(request_of(session), self._signatures.keccak256),
        )

    def with_offer(self, session: Session, plan_sha256: str) -> Session:
        """Give a session with the operator's signed offer and the plan that promises it."""
        domain = self._operator.contracts.money(session.terms.escrow)
        offer = digest(domain, self.offer_of(session), self._signatures.keccak256)
        signature = self._operator.payee.sign(offer)
        return replace(session, offer_signature=signature, plan_sha256=plan_sha256)

    def _reservation(
        self, now: datetime, place: Place, request: ChargeRequest, signature: bytes, tab: Tab, money: Money
    ) -> Session:
        budget = cost_of(Wh(request.energy_wh), place.connector.price)
        if request.max_cost < budget:
            raise InvalidInput(
                "request.max_cost_too_small",
                f"{request.energy_wh} Wh cost {budget} units, more than the most you said",
                do=f"allow at least {budget} units, or ask for less energy",
                path="request.max_cost",
            )
        if tab.exit_at:
            raise Refused(
                "tab.exiting",
                "this wallet is leaving its tab with the operator",
                do="finish the exit, then ask again",
            )
        return Session(
            id=SessionId.make(int(now.timestamp() * 1000), self._randomness(10)),
            state=State.RESERVED,
            terms=ChargeTerms(
                payer=request.payer,
                connector=place.connector.ref,
                asset=place.asset,
                arrival=now,
                departure=datetime.fromtimestamp(request.departure, UTC),
                energy=Wh(request.energy_wh),
                flexible=request.flexible,
                price=place.connector.price,
                budget=budget,
                base=tab.spent,
                epoch=tab.epoch,
                escrow=money.address,
            ),
            id_tag="".join(ALPHABET[byte % 32] for byte in self._randomness(20)),
            request_signature=signature,
            request_nonce=request.nonce,
            request_deadline=request.deadline,
            max_cost=request.max_cost,
            offer_signature=b"",
            plan_sha256="",
            voucher_signature=None,
            created_at=now,
            changed_at=now,
            deadline=now + time_to_pay(is_secured=_is_secured(budget, tab)),
        )

    def _check_signature(self, place: Place, request: ChargeRequest, signature: bytes, money: Money) -> None:
        if request.asset != place.asset:
            raise InvalidInput(
                "request.other_asset",
                f"the request names asset {request.asset}, the code is of asset {place.asset}",
                path="request.asset",
            )
        domain = self._operator.contracts.money(money.address)
        signed = digest(domain, request, self._signatures.keccak256)
        if self._signatures.recover(signed, signature) != request.payer:
            raise IntegrityFailure(
                "request.wrong_signature",
                "the request is not signed by its payer",
                do="sign it again, for this chain and contract",
                path="signature",
            )

    def _check_room(self, place: Place) -> None:
        """Refuse where charges that nobody can steer leave the cabinet not even the least current."""
        group = self._directory.groups[place.connector.group]
        taken = self._live.taken(one.connector for one in group.places)
        least = place.connector.least_power
        if taken and taken + least > group.capacity:
            raise Refused(
                NO_ROOM,
                f"charges that cannot be steered may draw {taken} of the cabinet's {group.capacity} W",
                do="choose another charge point, or wait until they have ended",
            )

    async def require_free(self, work: Work, place: Place) -> None:
        """Raise Refused where no charge can begin: away, out of service, taken, or without room."""
        await self._check_free(work, place, None)

    async def _check_free(self, work: Work, place: Place, payer: Address | None) -> None:
        live = self._live.connector(place.connector.ref)
        if place.connector.ref.station not in self._live.online or live.status in _OUT_OF_SERVICE:
            raise Refused(
                "station.out_of_service",
                f"{place.connector.evse_id} is not in service at present",
                do="choose another charge point",
            )
        if live.status in _OCCUPIED:
            raise Refused(
                "connector.taken",
                f"a car stands at {place.connector.evse_id}",
                do="choose another charge point, or wait until it has left",
            )
        self._check_room(place)
        for session in await work.unit.sessions(open_only=True):
            if session.terms.connector == place.connector.ref and session.state in OCCUPYING:
                raise Refused(
                    "connector.taken",
                    f"{place.connector.evse_id} is reserved or in use",
                    do="choose another charge point",
                )
            if session.terms.payer == payer:
                raise Refused(
                    "payer.session_open",
                    f"this wallet has an open session: {session.id}",
                    do="wait until it is settled, or stop it",
                )


def _is_secured(budget: int, tab: Tab) -> bool:
    """Tell whether the tab holds the money already."""
    return tab.ceiling - tab.spent >= budget


def _record(now: datetime, place: Place, session: Session, answer: RefusedRequest) -> RefusalRecord:
    grid, steps = answer.problem.grid, answer.certificate.steps
    return RefusalRecord(
        at=now,
        asset=place.asset,
        payer=session.terms.payer,
        nonce=session.request_nonce,
        energy=session.terms.energy,
        departure=session.terms.departure,
        code="request.refused",
        steps=steps,
        begins=grid.bounds(min(steps))[0] if steps else None,
        ends=grid.bounds(max(steps))[1] if steps else None,
        deficit=answer.certificate.deficit_wh,
        offers=tuple(
            (offer.energy_wh, grid.start + offer.departure * grid.length) for offer in answer.offers
        ),
        problem=write_problem(answer.problem),
        schedule=write_schedule(answer.certificate),
    )

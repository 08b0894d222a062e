"""The receipt of a session that was metered, and the settlement that follows it."""

from collections.abc import Sequence
from hashlib import sha256

from evmesh.domain.chain import Contracts
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.evidence import NotaryLeaf, StoredPlan
from evmesh.domain.ids import Address
from evmesh.domain.merkle import MerkleLog
from evmesh.domain.money import cost_of
from evmesh.domain.readings import METER_STREAM, Reading, without_overshoot
from evmesh.domain.receipt import MAX_CURVE_POINTS, Receipt
from evmesh.domain.receipt_parts import (
    ChainRef,
    MeterEntry,
    MeterKey,
    PlanRow,
    SignedVoucher,
    StationRef,
    TreeHead,
)
from evmesh.domain.receipt_payment import PaidTransfer, TransferPayment
from evmesh.domain.receipt_shortfall import Shortfall
from evmesh.domain.sessions import Session
from evmesh.domain.signed_document import SignedDocument
from evmesh.domain.signed_meter import SignedMeter, readings_only
from evmesh.domain.signed_types import SessionOffer
from evmesh.domain.transfers import Transfer
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.ports import Signatures
from evmesh.services.directory import Directory, Operator, Place
from evmesh.services.plan_in_force import parse_plan
from evmesh.services.plans import request_of
from evmesh.services.promises import DIMMED
from evmesh.services.signed_meters import SignedMeters
from evmesh.services.transfers_payout import standing, terms_of
from evmesh.services.transitions import Work


class Receipts:
    """Writes documents that the payee signs."""

    def __init__(
        self, directory: Directory, operator: Operator, signatures: Signatures, signed: SignedMeters
    ) -> None:
        self._directory = directory
        self._operator = operator
        self._signatures = signatures
        self._signed = signed

    async def issue(
        self, work: Work, session: Session, offer: SessionOffer, head: tuple[int, bytes]
    ) -> bytes:
        """Write, sign and store the receipt of a metered session; `head` is (size, root) to be anchored."""
        place = self._directory.by_asset(session.terms.asset)
        everything = await work.unit.session_leaves(session.id)
        leaves = readings_only(everything)
        stored = await work.unit.plan_of(session.plan_sha256)
        voucher = _voucher_of(session)
        payment = await _payment_of(work, session, place.deposit_address)
        is_paid = voucher is not None or payment is not None
        if len(leaves) < 2 or stored is None or not is_paid or session.due is None:
            raise IntegrityFailure("receipt.incomplete", f"session {session.id} lacks its evidence")
        first, last = leaves[0], leaves[-1]
        curve = _curve(leaves)
        energy = session.delivered
        records = self._signed.judge(
            place, everything, session.meter_start or Wh(0), session.meter_last or Wh(0)
        ).records
        receipt = Receipt(
            session=session.id,
            chain=chain_ref(self._operator.contracts, session.terms.escrow),
            station=StationRef(place.asset, place.code, place.connector.evse_id, place.connector.ref.station),
            request=request_of(session),
            request_signature=session.request_signature,
            offer=offer,
            offer_signature=session.offer_signature,
            start=_entry(first, work.log, head[0]),
            stop=_entry(last, work.log, head[0]),
            tree=TreeHead(self._operator.notary, METER_STREAM, *head),
            curve=curve,
            energy=energy,
            price=session.terms.price,
            cost=cost_of(energy, session.terms.price),
            due=session.due,
            vouchers=() if voucher is None else (voucher,),
            plan=plan_row(stored, session),
            payee=self._operator.payee.address,
            meter_key=MeterKey(self._operator.gateway.address, "gateway"),
            payment=payment,
            signed_meter=_signed_meter(place, [_entry(one, work.log, head[0]) for one in records]),
            shortfall=await _shortfall_of(work, session, place),
        )
        raw = self.sign(receipt)
        await work.unit.save_document(session.id, Receipt.FORMAT, raw)
        return raw

    def sign(self, document: SignedDocument) -> bytes:
        """Give a document's canonical bytes with the payee's signature."""
        signed = digest(self._operator.domain, document.to_sign(), self._signatures.keccak256)
        return document.signed(self._operator.payee.sign(signed)).encode()


def chain_ref(contracts: Contracts, escrow: Address | None = None) -> ChainRef:
    """Give the chain as documents name it; `escrow` is that of the charge, where they speak of one."""
    return contracts.ref(escrow)


def plan_row(stored: StoredPlan, session: Session) -> PlanRow:
    """Give the session's own row of a stored plan."""
    plan = parse_plan(stored)
    row = plan.schedule.row(stored.pseudonyms[session.id.text])
    grid = plan.problem.grid
    return PlanRow(
        problem_sha256=bytes.fromhex(stored.problem_sha256),
        schedule_sha256=bytes.fromhex(stored.schedule_sha256),
        start=grid.start,
        step_s=grid.step_s,
        id=row.id,
        first=row.first,
        wh=tuple(row.wh),
        step_price=tuple(plan.schedule.step_price[row.first : row.end]),
    )


async def _shortfall_of(work: Work, session: Session, place: Place) -> Shortfall | None:
    """Name the last plan that left out some of a charge which a cap took energy from."""
    if DIMMED not in session.flags or session.started_at is None or session.stopped_at is None:
        return None
    plans = await work.unit.plans(place.connector.group, session.started_at, session.stopped_at)
    for stored in reversed(plans):
        missing = parse_plan(stored).lacking.get(session.id.text)
        if missing and stored.wanted is not None and stored.shortfall is not None:
            return Shortfall(
                problem_sha256=bytes.fromhex(stored.problem_sha256),
                schedule_sha256=bytes.fromhex(stored.schedule_sha256),
                wanted_sha256=sha256(stored.wanted).digest(),
                refusal_sha256=sha256(stored.shortfall).digest(),
                missing_wh=missing,
            )
    return None


async def _payment_of(work: Work, session: Session, address: Address) -> TransferPayment | None:
    """Give the transfers that a session stands on; those that the chain took back are not among them."""
    deposit = await work.unit.deposit_of(session.id)
    if deposit is None:
        return None
    return TransferPayment(
        deposit_address=address,
        opened_by=deposit.ref,
        salt=deposit.salt,
        fee=deposit.fee,
        transfers=paid_transfers(standing(await work.unit.transfers_of(deposit.ref))),
        terms=await terms_of(work.unit, deposit.terms),
    )


def paid_transfers(transfers: Sequence[Transfer]) -> tuple[PaidTransfer, ...]:
    """Give transfers as documents name them."""
    return tuple(PaidTransfer(one.ref, one.log_index, one.block, one.sender, one.amount) for one in transfers)


def _voucher_of(session: Session) -> SignedVoucher | None:
    """Give the highest voucher that is held."""
    if session.voucher_signature is None or session.voucher_cumulative is None:
        return None
    return SignedVoucher(session.terms.epoch, session.voucher_cumulative, session.voucher_signature)


def _signed_meter(place: Place, records: Sequence[MeterEntry]) -> SignedMeter | None:
    return SignedMeter(place.connector.ocmf_key, tuple(records)) if records else None


def _entry(leaf: NotaryLeaf, log: MerkleLog, size: int) -> MeterEntry:
    return MeterEntry(
        meter=leaf.meter,
        seq=leaf.seq,
        salt=leaf.salt,
        prev_hash=leaf.prev_hash,
        payload=leaf.payload,
        index=leaf.index,
        proof=tuple(log.inclusion_proof(leaf.index, size)),
    )


def _curve(leaves: Sequence[NotaryLeaf]) -> tuple[tuple[int, Wh], ...]:
    """Give (seconds since the start, register) of each second in which something was read.

    Of several readings within one second the first and the last of the session stay.
    """
    readings = without_overshoot([Reading.parse(leaf.payload) for leaf in leaves])
    begun, ended = readings[0], readings[-1]
    points = {begun.at: begun.register}
    for reading in readings[1:-1]:
        if begun.at < reading.at < ended.at:
            points[reading.at] = reading.register
    points[ended.at] = ended.register
    inner = sorted(points.items())
    every = -(-len(inner) // (MAX_CURVE_POINTS - 1))  # a receipt is bounded: a long stay keeps fewer points
    kept = dict([*inner[:-1:every], inner[-1]])
    return tuple((int((at - begun.at).total_seconds()), register) for at, register in kept.items())

"""Check the network's own list of transactions: the whole list, and one record in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import ProvenStream, StreamList, StreamProof
from evmesh.domain.errors import EvmeshError, IntegrityFailure
from evmesh.domain.nouns import leaves
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.session_record import Record
from evmesh.domain.trust import Trust
from evmesh.ports import Signatures
from evmesh.verify import paid_in, streams
from evmesh.verify.case import require_signer
from evmesh.verify.followup_case import NO_RECEIPT
from evmesh.verify.report import OFFLINE, Check, Finding, NotChecked, Report, Status, failed, require, run
from evmesh.verify.streams import StreamFacts


def verify_list(raw: bytes, trust: Trust | None = None, facts: StreamFacts | None = None) -> Report:
    """Check the bytes of an `evmesh.stream-list/1` file; never raises for what is in them."""
    try:
        listed = StreamList.parse(raw)
        require(
            listed.is_whole,
            "list.incomplete",
            f"{len(listed.hashes)} of {leaves(listed.size)}",
            "hashes",
        )
    except EvmeshError as error:
        return Report((failed("whole list", error),))
    return Report(
        (
            Check(
                "whole list",
                Status.OK,
                f"{leaves(listed.size)} of {listed.stream.value}, from the first on",
            ),
            run("trusted publisher", partial(streams.trusted_publisher, listed, trust)),
            run("newest head", partial(streams.newest_head, listed, facts)),
            run("earlier heads", partial(streams.earlier_heads, listed, facts)),
            run("all anchored", partial(streams.unanchored, listed, facts)),
        )
    )


@dataclass(frozen=True, slots=True)
class RecordCase:
    """One record under examination, and whatever else is at hand.

    `consistency` is the operator's proof that the newest head on chain begins with the proof's.
    """

    proof: StreamProof
    part: ProvenStream
    record: Record
    signatures: Signatures
    receipt_raw: bytes | None = None
    trust: Trust | None = None
    facts: StreamFacts | None = None
    consistency: Sequence[bytes] | None = None


def verify_record(
    raw: bytes,
    signatures: Signatures,
    receipt_raw: bytes | None = None,
    trust: Trust | None = None,
    facts: StreamFacts | None = None,
    consistency: Sequence[bytes] | None = None,
) -> Report:
    """Check the bytes of an `evmesh.stream-proof/1` file of one record; never raises for what is in them."""
    try:
        proof, part, record = read_record(raw)
    except EvmeshError as error:
        unread = tuple(Check(name, Status.NOT_CHECKED, "it cannot be read") for name, _ in _RECORD_CHECKS)
        return Report((failed("form", error), *unread))
    case = RecordCase(proof, part, record, signatures, receipt_raw, trust, facts, consistency)
    form = Check("form", Status.OK, f"the record of session {record.session}")
    checks = [run(name, partial(check, case)) for name, check in _RECORD_CHECKS]
    if record.chain.paid_in is not None:
        checks.append(
            Check("paid in", Status.NOT_CHECKED, "its receipt tells, with a node, whose FLEX that is")
        )
    return Report((form, *checks))


def read_record(raw: bytes) -> tuple[StreamProof, ProvenStream, Record]:
    """Read a proof of one record; raises InvalidInput or IntegrityFailure where it is another."""
    proof = StreamProof.parse(raw)
    part = proof.of(Stream.RECORDS)
    if part is None or len(part.leaves) != 1:
        raise IntegrityFailure("record.not_one", "the proof is not of one record", path="streams")
    return proof, part, Record.parse(part.leaves[0].payload)


def _payee_signature(case: RecordCase) -> Finding:
    record = case.record
    same = record.chain.site == case.proof.chain
    require(same, "record.other_chain", "the record is of another chain", "chain")
    require_signer(
        case.signatures,
        record.chain.domain,
        record.payee,
        record.to_sign(),
        record.signature,
        "record.signature",
    )
    return f"{record.payee} signed all of it"


def _countersignature(case: RecordCase) -> Finding:
    record = case.record
    if record.countersignature is None:
        return NotChecked("the driver did not sign: this is the operator's word alone")
    require_signer(
        case.signatures,
        record.chain.domain,
        record.payer,
        record.to_countersign(),
        record.countersignature,
        "record.countersignature",
    )
    return f"{record.payer} signed receipt, energy and due amount"


def _receipt(case: RecordCase) -> Finding:
    if case.receipt_raw is None:
        return NO_RECEIPT
    record, receipt = case.record, Receipt.parse(case.receipt_raw)
    same = record.receipt_sha256 == receipt_hash(case.receipt_raw)
    require(same, "followup.other_receipt", "it names another receipt", "record.receipt_sha256")
    for name, theirs in (
        ("session", receipt.session),
        ("chain", receipt.chain),
        ("payer", receipt.request.payer),
        ("payee", receipt.payee),
        ("energy", receipt.energy),
        ("due", receipt.due),
    ):
        same = getattr(record, name) == theirs
        require(same, f"followup.other_{name}", f"the receipt has another {name}", f"record.{name}")
    return f"{record.energy} Wh for {record.due}, as the receipt says"


def _trusted_payee(case: RecordCase) -> Finding:
    if case.trust is None:
        return NotChecked("no trust file was given")
    known = case.record.payee in case.trust.payees
    require(known, "trust.unknown_payee", f"{case.record.payee} is not a trusted operator", "record.payee")
    paid_in.trusted(case.record.chain, case.trust.flex)
    return f"{case.record.payee} is a trusted operator"


def _trusted_publisher(case: RecordCase) -> Finding:
    return streams.trusted_publisher(case.proof, case.trust)


def _inclusion(case: RecordCase) -> Finding:
    streams.require_included(case.part, "streams[0]")
    return f"leaf {case.part.leaves[0].index} of {case.part.size}"


def _anchor(case: RecordCase) -> Finding:
    if case.facts is None:
        return OFFLINE
    streams.require_facts(case.proof, case.facts)
    found = streams.anchored(case.part, case.facts, "streams[0]")
    return found if isinstance(found, NotChecked) else f"the head of {leaves(found.size)} is on chain"


def _history(case: RecordCase) -> Finding:
    return streams.still_there(case.part, case.facts, case.consistency)


_RECORD_CHECKS: Final[tuple[tuple[str, Callable[[RecordCase], Finding]], ...]] = (
    ("payee signature", _payee_signature),
    ("countersignature", _countersignature),
    ("receipt", _receipt),
    ("trusted payee", _trusted_payee),
    ("trusted publisher", _trusted_publisher),
    ("inclusion", _inclusion),
    ("anchor", _anchor),
    ("history", _history),
)

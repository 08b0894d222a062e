"""What the checks of a receipt look at: the receipt itself, and whatever else is at hand."""

from dataclasses import dataclass

from evmesh.domain.errors import EvmeshError
from evmesh.domain.ids import Address
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import Domain, TypedStruct, digest, hash_struct
from evmesh.ports import MeterSignatures, Signatures
from evmesh.verify.chain_facts import ChainFacts
from evmesh.verify.report import require
from evmesh.verify.streams import StreamFacts


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """A group's problem and schedule, as the bytes of their files."""

    problem: bytes
    schedule: bytes


@dataclass(frozen=True, slots=True)
class ShortfallFiles:
    """A plan that left something out and its proof, as the bytes of their files: `verify/shortfall.py`."""

    problem: bytes
    schedule: bytes
    wanted: bytes
    refusal: bytes


@dataclass(frozen=True, slots=True)
class PlanCommitment:
    """An `evmesh.stream-proof/1` file of the session's plan, and what a node says on its heads."""

    proof: bytes
    facts: StreamFacts | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One receipt under examination. `start` and `stop` are None where their payloads cannot be read."""

    receipt: Receipt
    signatures: Signatures
    trust: Trust | None = None
    plan_files: PlanFiles | None = None
    chain: ChainFacts | None = None
    start: Reading | None = None
    stop: Reading | None = None
    commitment: PlanCommitment | None = None
    meter_signatures: MeterSignatures | None = None
    shortfall_files: ShortfallFiles | None = None

    @classmethod
    def open(
        cls,
        receipt: Receipt,
        signatures: Signatures,
        trust: Trust | None,
        plan_files: PlanFiles | None,
        chain: ChainFacts | None,
        commitment: PlanCommitment | None = None,
        meter_signatures: MeterSignatures | None = None,
        shortfall_files: ShortfallFiles | None = None,
    ) -> "Case":
        """Put together what is at hand."""
        start, stop = _readable(receipt.start.payload), _readable(receipt.stop.payload)
        return cls(
            receipt,
            signatures,
            trust,
            plan_files,
            chain,
            start,
            stop,
            commitment,
            meter_signatures,
            shortfall_files,
        )

    def request_hash(self) -> bytes:
        """Give the struct hash by which offer and pseudonym name the request."""
        return hash_of(self.receipt.request, self.signatures)

    def require_signer(self, signer: Address, value: TypedStruct, signature: bytes, path: str) -> None:
        """Raise IntegrityFailure where `signer` did not sign `value` under the receipt's domain."""
        require_signer(self.signatures, self.receipt.chain.domain, signer, value, signature, path)

    def require_party(self, signer: Address, value: TypedStruct, signature: bytes, path: str) -> None:
        """Raise IntegrityFailure where `signer` did not sign `value` in the domain of the charge's money."""
        require_signer(self.signatures, self.receipt.chain.money, signer, value, signature, path)


def require_contracts(case: Case) -> ChainFacts:
    """Give what the chain says; raises IntegrityFailure where it is not the receipt's chain and contracts."""
    facts, named = case.chain, case.receipt.chain.chain_id
    if facts is None:
        raise ValueError("no node was asked")
    require(
        facts.chain_id == named,
        "chain.other_chain",
        f"the node serves chain {facts.chain_id}",
        "chain.chain_id",
    )
    require(
        facts.contracts_answer,
        "chain.not_the_contract",
        "the contracts that the receipt names are not there",
        "chain",
    )
    return facts


def require_signer(
    signatures: Signatures,
    domain: Domain,
    signer: Address,
    value: TypedStruct,
    signature: bytes,
    path: str,
) -> None:
    """Raise IntegrityFailure `signature.malformed` or `signature.other_signer` unless `signer` signed."""
    try:
        found = signatures.recover(digest(domain, value, signatures.keccak256), signature)
    except EvmeshError as error:
        error.path = path
        raise
    require(found == signer, "signature.other_signer", f"not signed by {signer}", path)


def hash_of(value: TypedStruct, signatures: Signatures) -> bytes:
    """Give the struct hash of a value."""
    return hash_struct(value, signatures.keccak256)


def _readable(payload: bytes) -> Reading | None:
    try:
        return Reading.parse(payload)
    except EvmeshError:
        return None

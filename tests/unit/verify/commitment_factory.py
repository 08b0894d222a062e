"""Streams of one operator: statements, proofs under heads, and what an honest chain says of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Algorithm, Answer, Commitment, Stream, stream_leaf_hash
from evmesh.domain.commitment_proof import ProvenLeaf, ProvenStream, StreamList, StreamProof
from evmesh.domain.merkle import MerkleLog
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.session_record import Record, countersigned
from evmesh.domain.strict import unix_seconds
from evmesh.verify.case import PlanCommitment, PlanFiles
from evmesh.verify.streams import HeadOnChain, StreamFacts
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import CHAIN, DRIVER, NOTARY, OPERATOR, START, sign

VERIFIER = sha256(b"the verifier's source").digest()


def salt_of(index: int) -> bytes:
    return sha256(b"salt %d" % index).digest()


def leaves_of(stream: Stream, payloads: Sequence[bytes]) -> list[bytes]:
    return [stream_leaf_hash(stream, salt_of(n), payload) for n, payload in enumerate(payloads)]


def prove(stream: Stream, payloads: Sequence[bytes], shown: Sequence[int], size: int = 0) -> ProvenStream:
    """Show some statements of a stream under the head of its first `size` leaves, or of all."""
    log, size = MerkleLog(leaves_of(stream, payloads)), size or len(payloads)
    proven = (ProvenLeaf(n, salt_of(n), payloads[n], tuple(log.inclusion_proof(n, size))) for n in shown)
    return ProvenStream(stream, size, log.root(size), tuple(proven))


def make_list(stream: Stream, payloads: Sequence[bytes], chain: ChainRef = CHAIN) -> StreamList:
    hashes = tuple(leaves_of(stream, payloads))
    return StreamList(chain, NOTARY.address, stream, len(hashes), 0, hashes)


def anchored(*parts: ProvenStream, at: datetime = START, chain: ChainRef = CHAIN) -> StreamFacts:
    """The chain says that each of these heads is the newest."""
    heads = {part.stream: HeadOnChain(part.size, part.root, unix_seconds(at)) for part in parts}
    return StreamFacts(chain.chain_id, True, heads, {stream: (head,) for stream, head in heads.items()})


def make_plan_statements(
    files: PlanFiles, *, verifier: bytes = VERIFIER, made_at: datetime = START - timedelta(minutes=20)
) -> list[bytes]:
    problem, schedule = sha256(files.problem).digest(), sha256(files.schedule).digest()
    return [
        Commitment(made_at, sha256(b"another").digest(), verifier).encode(),
        Commitment(made_at, problem, verifier).encode(),
        Answer(made_at, sha256(b"another").digest(), sha256(b"its answer").digest(), verifier).encode(),
        Answer(made_at, problem, schedule, verifier).encode(),
        Commitment(made_at, sha256(b"one more").digest(), verifier).encode(),
    ]


def make_proof(
    files: PlanFiles, *, verifier: bytes = VERIFIER, shown: Sequence[int] = (1, 3), chain: ChainRef = CHAIN
) -> StreamProof:
    """That a plan was committed to and answered, and the verifier published."""
    algorithm = [Algorithm("0.1.0", verifier, None).encode()]
    return StreamProof(
        chain,
        NOTARY.address,
        (
            prove(Stream.SCHEDULES, make_plan_statements(files, verifier=verifier), shown),
            prove(Stream.ALGORITHMS, algorithm, [0]),
        ),
    )


def file_of(document: StreamProof | StreamList) -> bytes:
    return canonical_json(document.to_json())


def make_commitment(receipt: Receipt, files: PlanFiles) -> PlanCommitment:
    """The commitment of a receipt's plan, anchored before its first step."""
    proof = make_proof(files, chain=receipt.chain.site)
    at = receipt.plan.start - timedelta(minutes=4)
    return PlanCommitment(file_of(proof), anchored(*proof.streams, at=at, chain=receipt.chain))


def make_session_record(receipt: Receipt, *, driver: Key | None = DRIVER, operator: Key = OPERATOR) -> Record:
    """The record of a receipt's session; `driver` None leaves the countersignature out."""
    raw = receipt.encode()
    value = countersigned(receipt, raw)
    record = Record(
        session=receipt.session,
        chain=receipt.chain,
        receipt_sha256=value.receipt,
        settlement_sha256=None,
        outcome="settled",
        energy=receipt.energy,
        due=receipt.due,
        payer=receipt.request.payer,
        payee=receipt.payee,
        countersignature=None if driver is None else sign(driver, value, receipt.chain),
    )
    return record.signed(sign(operator, record.to_sign(), receipt.chain))

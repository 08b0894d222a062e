"""Check that a plan was committed to: its inputs before it, itself before it was used, and by which rules."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Final

from evmesh.domain.commitment import Algorithm, Answer, Commitment, Stream
from evmesh.domain.commitment_proof import ProvenLeaf, ProvenStream, StreamProof
from evmesh.domain.errors import EvmeshError, IntegrityFailure
from evmesh.domain.nouns import leaves
from evmesh.domain.strict import unix_seconds, write_instant
from evmesh.domain.trust import Trust
from evmesh.verify import streams
from evmesh.verify.report import OFFLINE, Check, Finding, NotChecked, Status, failed, require, run
from evmesh.verify.streams import StreamFacts

NO_PROOF: Final = "no proof of the commitment was given"


@dataclass(frozen=True, slots=True)
class PlanProof:
    """The parts of an `evmesh.stream-proof/1` file that speak of one plan, and what the chain says.

    `used_from` is when the plan was first acted on, in seconds since 1970; `verifier_sha256` is of this
    very verifier's source.
    """

    proof: StreamProof
    problem_sha256: bytes
    schedule_sha256: bytes
    used_from: int
    verifier_sha256: bytes
    trust: Trust | None = None
    facts: StreamFacts | None = None

    def part(self, stream: Stream) -> ProvenStream:
        """Give what is shown of a stream; raises IntegrityFailure `commitment.missing`."""
        found = self.proof.of(stream)
        if found is None or not found.leaves:
            raise IntegrityFailure(
                "commitment.missing", f"nothing of {stream.value} is shown", path="streams"
            )
        return found

    def answer(self) -> tuple[ProvenLeaf, Answer]:
        """Give the statement of this very answer to this very problem."""
        for leaf in self.part(Stream.SCHEDULES).leaves:
            if f'"format":"{Answer.FORMAT}"'.encode() in leaf.payload:
                stated = Answer.parse(leaf.payload)
                if (stated.problem_sha256, stated.schedule_sha256) == (
                    self.problem_sha256,
                    self.schedule_sha256,
                ):
                    return leaf, stated
        raise IntegrityFailure(
            "commitment.other_plan",
            "no leaf states this schedule as the answer to this problem",
            path="streams",
        )


def plan_checks(
    raw: bytes | None,
    problem: bytes,
    schedule: bytes,
    used_from: datetime | None,
    verifier_sha256: bytes,
    trust: Trust | None = None,
    facts: StreamFacts | None = None,
    no_proof: str = NO_PROOF,
) -> tuple[Check, ...]:
    """Check a proof of the commitment to a plan; never raises for what is in the files.

    `no_proof` is why there is none, where `raw` is None.
    """
    try:
        proof = None if raw is None else StreamProof.parse(raw)
    except EvmeshError as error:
        return (failed("proof", error), *_not_checked("the proof cannot be read"))
    if proof is None or used_from is None:
        return _not_checked(no_proof)
    case = PlanProof(
        proof,
        sha256(problem).digest(),
        sha256(schedule).digest(),
        unix_seconds(used_from),
        verifier_sha256,
        trust,
        facts,
    )
    return tuple(run(name, partial(check, case)) for name, check in _CHECKS)


def _not_checked(why: str) -> tuple[Check, ...]:
    return tuple(Check(name, Status.NOT_CHECKED, why) for name, _ in _CHECKS)


def committed_inputs(case: PlanProof) -> Finding:
    """Check that the problem was committed to before the answer was stated."""
    at, _ = case.answer()
    part = case.part(Stream.SCHEDULES)
    streams.require_included(part, "streams[0]")
    for leaf in part.leaves:
        if leaf.index < at.index and f'"format":"{Commitment.FORMAT}"'.encode() in leaf.payload:
            stated = Commitment.parse(leaf.payload)
            if stated.problem_sha256 == case.problem_sha256:
                return f"leaf {leaf.index}, before the answer's, of {write_instant(stated.at)}"
    raise IntegrityFailure(
        "commitment.none_before", "no commitment to this problem stands before its answer", path="streams"
    )


def stated_answer(case: PlanProof) -> Finding:
    """Check that the schedule, or refusal, was stated as the problem's answer."""
    leaf, stated = case.answer()
    streams.require_included(case.part(Stream.SCHEDULES), "streams[0]")
    return f"leaf {leaf.index} of {case.part(Stream.SCHEDULES).size}, of {write_instant(stated.at)}"


def named_verifier(case: PlanProof) -> Finding:
    """Check that the answer names this very verifier's source; another release's is no lie, and not ours."""
    _, stated = case.answer()
    named, ours = stated.verifier_sha256.hex()[:16], case.verifier_sha256.hex()[:16]
    if stated.verifier_sha256 != case.verifier_sha256:
        return NotChecked(
            f"the answer names the verifier {named}…, and this one is {ours}…: "
            "the release that published the other can say more"
        )
    return f"it names this very verifier, {ours}…"


def published_verifier(case: PlanProof) -> Finding:
    """Check that the source which the answer names stands in the algorithm stream."""
    part, (_, stated) = case.part(Stream.ALGORITHMS), case.answer()
    streams.require_included(part, "streams[1]")
    named = [one for one in map(_algorithm, part.leaves) if one.verifier_sha256 == stated.verifier_sha256]
    require(
        bool(named), "verifier.not_published", "the algorithm stream's leaf is of another source", "streams"
    )
    return f"published as evmesh {named[0].version}"


def trusted_publisher(case: PlanProof) -> Finding:
    """Check whose streams these are."""
    return streams.trusted_publisher(case.proof, case.trust)


def anchored_schedule(case: PlanProof) -> Finding:
    """Check that the head over both leaves is on chain."""
    return _anchored(case, Stream.SCHEDULES)


def anchored_algorithm(case: PlanProof) -> Finding:
    """Check that the head over the verifier's leaf is on chain."""
    return _anchored(case, Stream.ALGORITHMS)


def in_time(case: PlanProof) -> Finding:
    """Check that the head was on chain before the plan was first used; a later one proves no lie."""
    if case.facts is None:
        return OFFLINE
    streams.require_facts(case.proof, case.facts)
    found = streams.anchored(case.part(Stream.SCHEDULES), case.facts, "streams[0]")
    if isinstance(found, NotChecked):
        return found
    if found.at is None:
        return NotChecked("the node does not tell when it was anchored")
    late_s = found.at - case.used_from
    if late_s > 0:
        return NotChecked(
            f"the head that proves it was anchored {late_s} s after its first step began; "
            "an earlier head may cover it too"
        )
    return f"anchored {-late_s} s before its first step"


def _anchored(case: PlanProof, stream: Stream) -> Finding:
    if case.facts is None:
        return OFFLINE
    streams.require_facts(case.proof, case.facts)
    found = streams.anchored(case.part(stream), case.facts, "streams")
    return found if isinstance(found, NotChecked) else f"the head of {leaves(found.size)} is on chain"


def _algorithm(leaf: ProvenLeaf) -> Algorithm:
    return Algorithm.parse(leaf.payload)


_CHECKS: Final[tuple[tuple[str, Callable[[PlanProof], Finding]], ...]] = (
    ("committed inputs", committed_inputs),
    ("stated answer", stated_answer),
    ("named verifier", named_verifier),
    ("published verifier", published_verifier),
    ("trusted publisher", trusted_publisher),
    ("anchored schedule", anchored_schedule),
    ("anchored algorithm", anchored_algorithm),
    ("committed in time", in_time),
)

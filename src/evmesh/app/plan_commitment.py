"""`evmesh plan verify` with a node or an operator at hand: that the plan was committed to, and when."""

from datetime import datetime
from hashlib import sha256

from evmesh.app.records import fetch_plan_proof, proof_facts, read_trust
from evmesh.app.verdict import read_document, show
from evmesh.app.verifier_source import verifier_sha256
from evmesh.domain.commitment_proof import StreamProof
from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.problem import parse_problem
from evmesh.domain.problem_shape import is_tree
from evmesh.domain.problem_tree_file import parse_tree_problem
from evmesh.verify.report import Check, Report
from evmesh.verify.stream_plan import NO_PROOF, plan_checks


def show_committed(
    certificate: Check,
    problem: bytes,
    schedule: bytes,
    *,
    rpc: str | None,
    proof: str | None,
    operator: str | None,
    trust: str | None,
    json_output: bool,
) -> None:
    """Print the certificate's check and those of its commitment; exits as `evmesh verify` does."""
    if proof is not None and operator is not None:
        raise InvalidInput("plan.proof_twice", "two proofs: of a file and of an operator", do="give one")
    known, raw, why, gone = read_trust(trust), None, NO_PROOF, None
    if proof is not None:
        raw = read_document(proof, StreamProof.FORMAT)
    elif operator is not None:
        raw, why, gone = fetch_plan_proof(operator, sha256(schedule).hexdigest())
    facts, away = proof_facts(rpc, raw)
    checks = plan_checks(raw, problem, schedule, _begin(problem), verifier_sha256(), known, facts, why)
    show(Report((certificate, *checks)), "plan", json_output, away or gone)


def _begin(problem: bytes) -> datetime | None:
    """Give when the first step begins; None where the certificate's check says that it cannot be read."""
    try:
        parsed = parse_tree_problem(problem) if is_tree(problem) else parse_problem(problem)
    except EvmeshError:
        return None
    return parsed.grid.start

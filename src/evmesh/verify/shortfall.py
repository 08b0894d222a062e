"""Check that a plan which leaves something out leaves out as little as anybody could.

A plan under a cap answers a problem with less energy than was promised. Beside it lie the problem with
all of it and that problem's refusal. It is the least that can be missing when
  1. the plan's certificate holds, and so does the refusal's;
  2. the two problems are the same but for energies, of which the plan's has nowhere more;
  3. what they differ by in all is the refusal's deficit: so much cannot be delivered, whoever plans.
Whom it hurts is not proven: any split of the same total would do.
"""

from dataclasses import replace

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import read_answer, read_problem
from evmesh.domain.schedule import Refusal, Schedule
from evmesh.verify.answer import verify_answer
from evmesh.verify.schedule import Verdict


def verify_shortfall(
    wanted_raw: bytes, refusal_raw: bytes, problem_raw: bytes, schedule_raw: bytes
) -> Verdict:
    """Check the four files of a plan under a cap: what was wanted, its refusal, what is planned, its plan.

    Raises InvalidInput where a problem cannot be read.
    """
    plan = verify_answer(problem_raw, schedule_raw)
    if not plan.ok:
        return plan
    no = verify_answer(wanted_raw, refusal_raw)
    if not no.ok:
        return Verdict(False, no.code, f"refusal: {no.path}")
    refusal = read_answer(refusal_raw)  # both were read above
    if not isinstance(read_answer(schedule_raw), Schedule):
        return Verdict(False, "shortfall.no_plan", "status")
    if not isinstance(refusal, Refusal):
        return Verdict(False, "shortfall.no_refusal", "refusal: status")
    return _check_least(read_problem(wanted_raw), read_problem(problem_raw), refusal)


def _check_least(wanted: Problem, planned: Problem, refusal: Refusal) -> Verdict:
    if (wanted.grid, wanted.supply, wanted.shape) != (planned.grid, planned.supply, planned.shape):
        return Verdict(False, "shortfall.other_supply", "supply")
    if len(wanted.requests) != len(planned.requests):
        return Verdict(False, "shortfall.other_requests", "requests")
    missing = 0
    for number, (more, less) in enumerate(zip(wanted.requests, planned.requests, strict=True)):
        if replace(less, energy_wh=more.energy_wh) != more:
            return Verdict(False, "shortfall.other_requests", f"requests[{number}]")
        if less.energy_wh > more.energy_wh:
            return Verdict(False, "shortfall.more_than_wanted", f"requests[{number}].energy_wh")
        missing += more.energy_wh - less.energy_wh
    if min(missing, MAX_DOCUMENT_INT) != refusal.deficit_wh:
        return Verdict(False, "shortfall.not_least", "requests")
    return Verdict(True)

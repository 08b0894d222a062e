"""What was planned for the car, and whether that was the cheapest plan for its whole group."""

from datetime import UTC, datetime
from hashlib import sha256

from evmesh.domain.commitment_proof import StreamProof
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.money import Price, energy_within
from evmesh.domain.nouns import counted
from evmesh.domain.offer_times import REQUEST_VALID, START_WITHIN
from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import read_answer, read_problem
from evmesh.domain.receipt_parts import pseudonym_of
from evmesh.domain.schedule import Schedule
from evmesh.domain.strict import unix_seconds
from evmesh.verify.answer import verify_answer
from evmesh.verify.case import Case
from evmesh.verify.report import Finding, NotChecked, require
from evmesh.verify.stream_plan import NO_PROOF, PlanProof, committed_inputs, in_time, stated_answer


def plan_row(case: Case) -> Finding:
    """Check that the row is this session's, ends by the departure, and plans the energy asked for.

    Less may be planned only where the budget pays for no more.
    """
    plan, request = case.receipt.plan, case.receipt.request
    pseudonym = pseudonym_of(case.request_hash())
    require(plan.id == pseudonym, "plan.other_row", f"this session's row is {pseudonym}", "plan.row.id")
    require(
        len(plan.step_price) == len(plan.wh) > 0,
        "plan.other_length",
        "there must be one price per planned step",
        "plan.step_price",
    )
    end = unix_seconds(plan.start) + (plan.first + len(plan.wh)) * plan.step_s
    require(
        end <= request.departure, "plan.after_departure", "the plan goes on after the departure", "plan.row"
    )
    _require_made_for_this_charge(case)
    planned = sum(plan.wh)
    paid_for = energy_within(case.receipt.offer.budget, Price(case.receipt.offer.price))
    promised = request.energy_wh if paid_for is None else min(request.energy_wh, paid_for)
    require(
        promised <= planned <= request.energy_wh,
        "plan.other_energy",
        f"{planned} Wh planned, {request.energy_wh} Wh asked for",
        "plan.row.wh",
    )
    return f"{planned} Wh in {counted(len(plan.wh), 'step')}, all before the departure"


def _require_made_for_this_charge(case: Case) -> None:
    """A promise is planned from the first boundary after the request: not in the past, not long after."""
    plan, asked_by = case.receipt.plan, case.receipt.request.deadline
    begins, step = unix_seconds(plan.start), plan.step_s
    ahead = int(START_WITHIN.total_seconds())
    asked_from = asked_by - int(REQUEST_VALID.total_seconds())
    if case.start is not None:
        asked_from = max(asked_from, unix_seconds(case.start.at) - ahead)
    require(begins >= asked_from, "plan.in_the_past", "the plan begins before it was asked for", "plan.start")
    require(
        begins <= asked_by + ahead + step,
        "plan.not_of_this_charge",
        "the plan begins long after it was asked for",
        "plan.start",
    )


def plan_optimality(case: Case) -> Finding:
    """Check, where the group's files are at hand, that they are the ones and that the plan is optimal."""
    plan, files = case.receipt.plan, case.plan_files
    if files is None:
        return NotChecked("the group's problem and schedule files were not given")
    for name, raw, named in (
        ("problem", files.problem, plan.problem_sha256),
        ("schedule", files.schedule, plan.schedule_sha256),
    ):
        same = sha256(raw).digest() == named
        require(same, f"plan.other_{name}", f"not the {name} that the receipt names", f"plan.{name}_sha256")
    verdict = verify_answer(files.problem, files.schedule)
    require(verdict.ok, verdict.code, "the certificate does not hold", f"schedule {verdict.path}")
    problem, schedule = read_problem(files.problem), read_answer(files.schedule)
    if not isinstance(schedule, Schedule):
        raise IntegrityFailure("plan.refused", "the file refuses the request", path="plan.schedule_sha256")
    row = schedule.row(plan.id)
    end = plan.first + len(plan.wh)
    for holds, path in (
        ((problem.grid.start, problem.grid.step_s) == (plan.start, plan.step_s), "plan.start"),
        ((row.first, row.wh) == (plan.first, plan.wh), "plan.row"),
        (schedule.step_price[plan.first : end] == plan.step_price, "plan.step_price"),
    ):
        require(holds, "plan.row_differs", "the receipt shows other values than the schedule", path)
    _require_whole_window(case, problem)
    return f"least cost for all cars of the group: {len(schedule.rows)}"


def _require_whole_window(case: Case, problem: Problem) -> None:
    """A flexible driver's car was planned for the stay that the driver signed, not for a shorter one."""
    request = case.receipt.request
    if not request.flexible:
        return
    stay = problem.request(case.receipt.plan.id)
    departure = min(request.departure, unix_seconds(problem.grid.end))  # what is later may be no date
    signed = problem.grid.steps_ended_by(datetime.fromtimestamp(departure, UTC))
    require(
        stay.departure == signed,
        "plan.other_window",
        f"planned to step {stay.departure}, not {signed}",
        "plan.row",
    )
    begins = unix_seconds(problem.grid.start) + stay.arrival * problem.grid.step_s
    latest = case.receipt.offer.start_by + problem.grid.step_s
    require(begins <= latest, "plan.other_window", f"planned only from step {stay.arrival} on", "plan.row")


def plan_commitment(case: Case) -> Finding:
    """Check that the plan and its inputs were on chain before the plan's first step for this car.

    Whether its answer names this very verifier is for the check of the plan itself to say.
    """
    plan, given, tree = case.receipt.plan, case.commitment, case.receipt.tree
    if given is None:
        return NotChecked(NO_PROOF)
    proof = StreamProof.parse(given.proof)
    require(proof.chain == case.receipt.chain.site, "commitment.other_chain", "of another chain", "chain")
    require(
        proof.publisher == tree.publisher,
        "commitment.other_publisher",
        f"{proof.publisher} does not anchor this receipt's readings",
        "publisher",
    )
    used_from = unix_seconds(plan.start) + plan.first * plan.step_s  # what is later may be no date
    shown = PlanProof(proof, plan.problem_sha256, plan.schedule_sha256, used_from, b"", facts=given.facts)
    committed_inputs(shown)
    stated_answer(shown)
    return in_time(shown)

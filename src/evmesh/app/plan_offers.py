"""An offer's own proof, as files: a schedule for it, and the refusal of 1 Wh more or of one step earlier.

Each certificate is bound to the bytes of its own problem, which lies beside it: of offer n that is
`offer-n.problem.json` with `offer-n.schedule.json`, and `better-n.problem.json` with `better-n.refusal.json`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evmesh.app.files import write_output
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.problem import Request, parse_problem, write_problem
from evmesh.domain.problem_shape import is_tree, read_answer
from evmesh.domain.problem_tree_file import parse_tree_problem, write_tree_problem
from evmesh.domain.schedule import Offer, Schedule, write_schedule
from evmesh.domain.schedule_tree import write_tree_schedule
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from evmesh.planning.tree import solve_tree

Answered = Callable[[Request], tuple[bytes, bytes]]
"""Give a problem in which the candidate wants this instead, and the answer to it."""


def require_candidate(candidate: str | None, proofs: str | None) -> None:
    """Refuse proofs of offers to nobody."""
    if proofs is not None and candidate is None:
        what = "--proofs is for the offers to one request"
        raise InvalidInput("plan.no_candidate", what, do="name it with --candidate", path="candidate")


def write_proofs(raw: bytes, answer: bytes, candidate: str, directory: str) -> None:
    """Write the proofs of a refusal's offers into a directory; nothing where it is no refusal."""
    seen = read_answer(answer)
    if isinstance(seen, Schedule):
        return
    car, answered = _tree(raw, candidate) if is_tree(raw) else _plain(raw, candidate)
    Path(directory).mkdir(parents=True, exist_ok=True)
    for number, offer in enumerate(seen.offers or (), 1):
        for kind, name, wish in (
            ("offer", "schedule", offer),
            ("better", "refusal", _better(car, offer)),
        ):
            asked = replace(car, departure=wish.departure, energy_wh=wish.energy_wh)
            try:
                problem, found = answered(asked)
            except Refused:  # with losses: in parts of a Wh, if at all; of that there is no certificate
                continue
            write_output(str(Path(directory) / f"{kind}-{number}.problem.json"), problem)
            write_output(str(Path(directory) / f"{kind}-{number}.{name}.json"), found)


def _better(car: Request, offer: Offer) -> Offer:
    """Give the next better wish, which is not to be had."""
    if offer.departure > car.departure:
        return replace(offer, departure=offer.departure - 1)
    return replace(offer, energy_wh=Wh(offer.energy_wh + 1))


def _plain(raw: bytes, candidate: str) -> tuple[Request, Answered]:
    problem = parse_problem(raw)
    car = problem.request(candidate)

    def answered(wish: Request) -> tuple[bytes, bytes]:
        asked = problem.with_requests([wish if one.id == wish.id else one for one in problem.requests])
        return write_problem(asked), write_schedule(solve(asked))

    return car, answered


def _tree(raw: bytes, candidate: str) -> tuple[Request, Answered]:
    problem = parse_tree_problem(raw)
    car = next(one.car for one in problem.requests if one.id == candidate)

    def answered(wish: Request) -> tuple[bytes, bytes]:
        asked = problem.with_requests(
            replace(one, car=wish) if one.id == wish.id else one for one in problem.requests
        )
        return write_tree_problem(asked), write_tree_schedule(solve_tree(asked))

    return car, answered

"""What would fit for one car of a tree of groups: most energy by its departure, earliest departure for it.

Without losses each question is one flow: others that are served stay served while the car's energy grows,
so what is missing in all is the car's. With losses the answers are searched by halves, since less energy,
or more time, never makes a plan harder. Where only the car takes a surplus that nobody else can, less energy
does: then what fits lies between two amounts, and what is missing falls towards them from both sides.
"""

from collections.abc import Callable
from dataclasses import replace

from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.problem import Request
from evmesh.domain.problem_tree import TreeProblem, TreeRequest
from evmesh.domain.schedule import Offer
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal
from evmesh.domain.units import Wh
from evmesh.planning.tree import solve_tree
from evmesh.planning.tree_network import TreeNetwork


def solve_tree_with_candidate(
    problem: TreeProblem, candidate_id: str, *, sha256: str
) -> TreePlan | TreeRefusal:
    """Solve a problem that holds the candidate already; a refusal carries its offers.

    Raises InvalidInput `problem.unknown_id`, and what `solve_tree` raises.
    """
    found = [one for one in problem.requests if one.id == candidate_id]
    if not found:
        raise InvalidInput("problem.unknown_id", f"no request has the id {candidate_id!r}", path="candidate")
    answer = solve_tree(problem, sha256=sha256)
    if isinstance(answer, TreePlan):
        return answer
    others = tuple(one for one in problem.requests if one.id != candidate_id)
    return replace(answer, offers=tree_offers(replace(problem, requests=others), found[0]))


def tree_offers(without: TreeProblem, candidate: TreeRequest) -> tuple[Offer, ...]:
    """Give a refused candidate the nearest wishes that fit; none where nothing at all fits."""
    needs_it = not _fits(without)
    if needs_it and not without.is_lossless():
        return ()

    def wish(car: Request) -> TreeProblem:
        return replace(without, requests=(*without.requests, replace(candidate, car=car)))

    car, offers = candidate.car, []
    most = _most_between(wish, candidate) if needs_it else _most_wh(wish, candidate)
    if most:
        offers.append(Offer(departure=car.departure, energy_wh=most))
    latest = without.steps
    if car.departure < latest and _fits(wish(replace(car, departure=latest))):
        earliest = _first(
            car.departure + 1, latest, lambda departure: _fits(wish(replace(car, departure=departure)))
        )
        offers.append(Offer(departure=earliest, energy_wh=car.energy_wh))
    return tuple(offers)


def _most_wh(wish: Callable[[Request], TreeProblem], candidate: TreeRequest) -> Wh:
    car = candidate.car
    asked = min(car.energy_wh, car.max_wh * car.window_steps)
    whole = wish(replace(car, energy_wh=Wh(asked)))
    if whole.is_lossless():
        return Wh(asked - _missing_wh(whole))
    too_much = _first(1, asked + 1, lambda wh: wh > asked or not _fits(wish(replace(car, energy_wh=Wh(wh)))))
    return Wh(too_much - 1)


def _most_between(wish: Callable[[Request], TreeProblem], candidate: TreeRequest) -> Wh:
    """Give the most that fits where nothing at all does not; 0 where no amount does.

    What is missing is convex in what is asked for, as the least cost of a flow is in its demand.
    """
    car = candidate.car
    asked = min(car.energy_wh, car.max_wh * car.window_steps)

    def missing(wh: int) -> int:
        return _missing_wh(wish(replace(car, energy_wh=Wh(wh))))

    low, high = 0, int(asked)
    while low < high:
        middle = (low + high) // 2
        if missing(middle) <= missing(middle + 1):
            high = middle
        else:
            low = middle + 1
    if missing(low):
        return Wh(0)
    return Wh(_first(low + 1, asked + 1, lambda wh: wh > asked or missing(wh) > 0) - 1)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Give the first of low … high for which it holds; it holds for high, and goes on once it does."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _fits(problem: TreeProblem) -> bool:
    if problem.is_lossless():
        return not _missing_wh(problem)
    try:
        return isinstance(solve_tree(problem), TreePlan)
    except Refused:
        return False  # in parts of a Wh, if at all


def _missing_wh(problem: TreeProblem) -> int:
    # Imported when first needed: numba takes most of a second, and most commands plan nothing.
    from evmesh.planning.tree_simplex import cheapest_flow

    return cheapest_flow(TreeNetwork.of(problem)).missing_wh

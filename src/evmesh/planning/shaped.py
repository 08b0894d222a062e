"""The same questions for a supply that goes through a tree of cables: does it fit, at what cost, what would.

Without batteries on the way it is a flow in whole Wh, and what holds of one supply holds here: others that
are served stay served while one more is added, so what is missing then is the newcomer's.
"""

from dataclasses import replace

from evmesh.domain.problem import Problem, Request, problem_sha256
from evmesh.domain.problem_shape import TreeShape, seen_plan, seen_refusal
from evmesh.domain.schedule import Offer, Refusal, Schedule
from evmesh.domain.schedule_tree import TreePlan, write_tree_schedule
from evmesh.domain.units import Wh
from evmesh.planning.tree import solve_tree
from evmesh.planning.tree_network import TreeNetwork


def solve_shaped(
    problem: Problem, shape: TreeShape, sha256: str | None = None, offers: tuple[Offer, ...] | None = None
) -> Schedule | Refusal:
    """Give the cheapest schedule, or the proof that there is none, with these offers."""
    tree = shape.tree(problem)
    answer = solve_tree(tree, sha256=sha256 or problem_sha256(shape.write(problem)))
    if isinstance(answer, TreePlan):
        return seen_plan(answer, write_tree_schedule(answer))
    answer = replace(answer, offers=offers)
    return seen_refusal(answer, write_tree_schedule(answer))


def missing_wh(problem: Problem, shape: TreeShape) -> int:
    """Give the least that cannot be delivered of all requests together."""
    # Imported when first needed: numba takes most of a second, and most commands plan nothing.
    from evmesh.planning.tree_simplex import cheapest_flow

    return cheapest_flow(TreeNetwork.of(shape.tree(problem))).missing_wh


def shaped_offers(problem_without: Problem, shape: TreeShape, candidate: Request) -> tuple[Offer, ...]:
    """Give a refused candidate the nearest wishes that fit; none where nothing at all fits."""
    if missing_wh(problem_without, shape):
        return ()

    def missing(wish: Request) -> int:
        return missing_wh(problem_without.with_requests([*problem_without.requests, wish]), shape)

    offers = []
    window_wh = candidate.max_wh * candidate.window_steps
    asked = replace(candidate, energy_wh=Wh(min(candidate.energy_wh, window_wh)))
    if most := asked.energy_wh - missing(asked):
        offers.append(Offer(departure=candidate.departure, energy_wh=Wh(most)))
    too_early, enough = candidate.departure, problem_without.steps
    if too_early < enough and not missing(replace(candidate, departure=enough)):
        while enough - too_early > 1:
            middle = (too_early + enough) // 2
            if missing(replace(candidate, departure=middle)):
                too_early = middle
            else:
                enough = middle
        offers.append(Offer(departure=enough, energy_wh=candidate.energy_wh))
    return tuple(offers)

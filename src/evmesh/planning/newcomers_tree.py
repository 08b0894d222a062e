"""What energy will be worth behind each cable of a tree, if those come again who came before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evmesh.domain.problem import Problem, SupplySegment
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.problem_tree import LocalSegment, TreeProblem, TreeRequest
from evmesh.domain.problem_tree_groups import Group
from evmesh.planning.newcomers import Foreseen, Newcomer, at_least, with_newcomers
from evmesh.planning.tree_network import TreeNetwork


def foresee_tree(
    problem: Problem,
    shape: TreeShape,
    of: Mapping[str, str],
    newcomers: Sequence[Newcomer],
    left_per_mille: int = 1_000,
) -> Foreseen:
    """Give what a Wh of each later step will be worth at the group's own cable and at each request.

    `shape` has one step less than the problem: its cables carry in the first step what they carry in the
    second, `left_per_mille` of it. `of` names the group of the tree of each request. Who stands at a place
    that the tree does not have is left out. Batteries are not counted with.
    """
    groups = tuple(_with_present(one, left_per_mille) for one in shape.groups)
    places = {one.id for one in groups} - {one.parent for one in groups}
    came = [one for one in newcomers if one.at in places]
    if not came:
        return Foreseen(problem)
    everybody, wanted, nowhere = with_newcomers(problem, came)
    at = dict(of) | {one.request.id: one.at for one in came}
    cars = tuple(TreeRequest(at[one.id], one) for one in everybody if at.get(one.id) in places)
    segments = [SupplySegment(step, wanted, nowhere) for step in range(problem.steps)]
    short = tuple(LocalSegment(place, one) for place in {one.group: 0 for one in cars} for one in segments)
    network = TreeNetwork.of(TreeProblem(problem.grid, groups, problem.supply, cars, local=short))
    worth = _worth(network)
    grid = worth[: problem.steps]
    dearer = {}
    for number, group in enumerate(groups):
        here = network.group_place(number)
        more = [max(0, a - b) for a, b in zip(worth[here : here + problem.steps], grid, strict=True)]
        dearer[group.id] = (0, *more[1:])
    surcharges = {one.id: dearer[at[one.id]] for one in problem.requests if at.get(one.id) in places}
    return Foreseen(at_least(problem, grid), surcharges)


def _worth(network: TreeNetwork) -> list[int]:
    # Imported when first needed: numba takes most of a second, and most commands plan nothing.
    from evmesh.planning.tree_simplex import cheapest_flow

    return cheapest_flow(network).prices


def _with_present(group: Group, left_per_mille: int) -> Group:
    def longer(vector: tuple[int, ...]) -> tuple[int, ...]:
        return (vector[0] * left_per_mille // 1_000, *vector)

    return replace(group, capacity_wh=longer(group.capacity_wh), other_wh=longer(group.other_wh))

"""Answer a problem over a tree of groups: a plan of least cost, or a refusal; either with its proof.

Without losses the problem is a flow through a network, solved in whole numbers, and its plan is optimal.
With losses it is a linear programme: HiGHS solves it in floats, the plan is rounded to whole Wh that
keep every rule, and the prices say, exactly, by how much it could be dearer than the best. Ties go to the
earlier step: without losses in one run, with them by what `tree_retiming.py` does afterwards.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.problem import problem_sha256
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.problem_tree_file import write_tree_problem
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.planning.tree_answer import plan, refusal
from evmesh.planning.tree_network import TreeNetwork
from evmesh.planning.tree_retiming import earlier
from evmesh.planning.tree_rounding import with_room, with_whole_stores


def solve_tree(problem: TreeProblem, *, sha256: str | None = None) -> TreePlan | TreeRefusal:
    """Give the cheapest plan that serves every request, or the proof that none can.

    `sha256` is the hash of the file that the problem was read from; without it the answer is bound to
    the bytes that `write_tree_problem` gives. Raises Refused `plan.not_in_whole_wh` where the requests
    fit, if at all, only in parts of a Wh; Unavailable where the solver gives up or is not installed.
    """
    sha256 = sha256 or problem_sha256(write_tree_problem(problem))
    network = TreeNetwork.of(problem)
    if problem.is_lossless():
        return _solve_lossless(network, sha256)
    return _solve_lossy(network, sha256)


def prepare() -> None:
    """Compile the network simplex, or load what was compiled: seconds, the first time on a machine."""
    grid = TimeGrid(datetime(2026, 1, 1, tzinfo=UTC), STEP_S, 1)
    solve_tree(TreeProblem(grid, (Group("cabinet", None, (1,), (0,)),), (), ()))


def _solve_lossless(network: TreeNetwork, sha256: str) -> TreePlan | TreeRefusal:
    # Imported when first needed: numba takes most of a second, and most commands plan nothing.
    from evmesh.planning.tree_simplex import cheapest_flow

    flow = cheapest_flow(network)
    if not flow.missing_wh:
        return plan(network, sha256, flow.wh, flow.prices)
    # Prices of 1 mark where energy is short, prices of -1 where too much of it is trapped; one is enough.
    short = [max(0, price) for price in flow.prices]
    trapped = [min(0, price) for price in flow.prices]
    found = refusal(network, sha256, short) or refusal(network, sha256, trapped)
    if found is None:
        raise AssertionError("the least that is missing is what the prices prove")
    return found


def _solve_lossy(network: TreeNetwork, sha256: str) -> TreePlan | TreeRefusal:
    # Imported when first needed, as numba is; and 32-bit ARM has no wheel of it.
    try:
        from evmesh.planning import tree_linear
    except ImportError as error:
        what = f"a problem with losses needs HiGHS, which is not there: {error}"
        raise Unavailable(
            "plan.no_solver", what, do="install highspy, or set every efficiency to 1000"
        ) from error

    relaxed = tree_linear.relaxed(network)
    if relaxed is None:
        for worth in tree_linear.rays(network):
            if (found := refusal(network, sha256, worth)) is not None:
                return found
        raise _not_in_whole_wh()
    wh = _in_whole_wh(network, relaxed.wh)
    if wh is None and (roomy := tree_linear.relaxed(with_room(network))) is not None:
        wh = _in_whole_wh(network, roomy.wh)
    if wh is None and (searched := tree_linear.whole(network)) is not None:
        wh = _in_whole_wh(network, searched)
    if wh is None:
        raise _not_in_whole_wh()
    return plan(network, sha256, earlier(network, wh), relaxed.worth)


def _in_whole_wh(network: TreeNetwork, wh: Sequence[float]) -> list[int] | None:
    """Give whole Wh of each way near `wh`; None where rounding breaks a rule."""
    from evmesh.planning.tree_simplex import cheapest_flow

    fixed = with_whole_stores(network, wh)
    if fixed is None:
        return None
    flow = cheapest_flow(fixed)
    return None if flow.missing_wh else flow.wh


def _not_in_whole_wh() -> Refused:
    return Refused(
        "plan.not_in_whole_wh",
        "everything fits only in parts of a Wh, if at all; there is neither a plan nor a proof of a no",
        do="leave a few Wh of room: in the batteries, on the cables, or in what is asked for",
    )

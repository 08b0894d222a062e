"""The linear programme of a network with losses, by HiGHS: a near-optimum in floats, prices in integers.

Nothing that comes out of here is trusted: prices bound the cost whatever they are, and energies are
rounded to whole numbers that keep every rule (`tree_rounding.py`). The better the floats, the smaller
the gap.
"""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from evmesh.domain.errors import Unavailable
from evmesh.planning.tree_answer import MAX_WORTH
from evmesh.planning.tree_network import OUTSIDE, TreeNetwork, Ways

Float64 = NDArray[np.float64]

_SIMPLEX_WAYS = 20_000
"""Beyond it the interior point method is faster: 5 s to 112 s on a problem of 5,000 cars."""

_WHOLE_WITHIN_S = 60.0
_WHOLE_GAP = 1e-4
_UNLIMITED = 10**30
"""HiGHS takes all beyond 10^20 for infinity."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """An optimum in floats: Wh of each way, and prices of each place, rounded (see `tree_answer.py`)."""

    wh: list[float]
    worth: list[int]


def relaxed(network: TreeNetwork) -> Relaxed | None:
    """Give the cheapest flow in real numbers; None where there is none."""
    solver = _solver(network.ways, network.places, np.array(network.ways.cost, np.float64))
    if not _run(solver):
        return None
    solution = solver.getSolution()
    return Relaxed(list(solution.col_value), _worth(network, np.array(solution.row_dual), 1.0))


def whole(network: TreeNetwork) -> list[float] | None:
    """Give a flow that is whole in every store with losses; None where none was found in a minute."""
    solver = _solver(network.ways, network.places, np.array(network.ways.cost, np.float64))
    columns = [way for one in network.stores if one.is_lossy for way in (*one.into, *one.out)]
    kinds = np.full(len(columns), highspy.HighsVarType.kInteger)
    solver.changeColsIntegrality(len(columns), np.array(columns, np.int32), kinds)
    solver.setOptionValue("time_limit", _WHOLE_WITHIN_S)
    solver.setOptionValue("mip_rel_gap", _WHOLE_GAP)
    solver.run()
    solution = solver.getSolution()
    return list(solution.col_value) if solution.value_valid else None


def rays(network: TreeNetwork) -> list[list[int]]:
    """Give prices that may prove that there is no flow, coarse ones first.

    They are those of the flow that breaks least: each place may lose or gain energy for 1 a Wh.
    """
    ways, places = network.ways, network.places
    elastic = ways.copy()
    for place in range(places):
        elastic.add(OUTSIDE, place, 0, _UNLIMITED)
        elastic.add(place, OUTSIDE, 0, _UNLIMITED)
    cost = np.concatenate([np.zeros(len(ways)), np.ones(2 * places)])
    solver = _solver(elastic, places, cost)
    if not _run(solver):
        raise _gave_up(solver)
    price = np.array(solver.getSolution().row_dual)
    return [_worth(network, price, factor) for factor in (1.0, 1e3, 1e6)]


def _solver(ways: Ways, places: int, cost: Float64) -> Any:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(ways), places
    model.col_cost_ = cost
    model.col_lower_, model.col_upper_ = np.array(ways.low, np.float64), np.array(ways.high, np.float64)
    model.row_lower_ = model.row_upper_ = np.zeros(places)
    start, index, value = _columns(ways)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = start, index, value
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("parallel", "off")
    solver.setOptionValue("solver", "simplex" if len(ways) < _SIMPLEX_WAYS else "ipm")
    solver.passModel(model)
    return solver


def _columns(ways: Ways) -> tuple[NDArray[np.int32], NDArray[np.int32], Float64]:
    """Give the matrix by columns: what a way takes from its tail and gives to its head."""
    places = np.column_stack([ways.tail, ways.head])
    values = np.column_stack([-np.array(ways.takes, np.float64), np.array(ways.gives, np.float64)])
    inside = places != OUTSIDE
    start = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    return start.astype(np.int32), places[inside].astype(np.int32), values[inside]


def _run(solver: Any) -> bool:
    """Tell whether there is an optimum; raises Unavailable where the solver cannot say."""
    solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kOptimal:
        return True
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return False
    raise _gave_up(solver)


def _gave_up(solver: Any) -> Unavailable:
    why = solver.modelStatusToString(solver.getModelStatus())
    return Unavailable("plan.solver_gave_up", f"HiGHS ended with {why!r}", do="report the problem file")


def _worth(network: TreeNetwork, price: Float64, factor: float) -> list[int]:
    """Round prices; those of a store are of its units, of which `loss` make a Wh given back."""
    scaled = price * factor
    for one in network.stores:
        scaled[one.place : one.place + len(one.into)] *= one.loss
    return [int(one) for one in np.clip(np.rint(scaled), -MAX_WORTH, MAX_WORTH)]

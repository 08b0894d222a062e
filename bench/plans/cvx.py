"""cvxpy on the same problem, in two ways; either time is that of the whole `Problem.solve`.

That is what a planner written with cvxpy spends at each plan: cvxpy's own compiling of the problem, then
the solver. `plainly` is as one would write it, a matrix of cars × steps and the solver that cvxpy chooses;
`tuned` is the fastest that was found, over the cells of the windows only, with HiGHS. The expressions are
built anew for every run, outside of the time taken.
"""

from collections.abc import Callable
from typing import Any

import cvxpy
import numpy as np
from scipy import sparse

from bench.plans.cells import Solved, cells
from bench.plans.stopwatch import Stopwatch
from evmesh.planning.arrays import ProblemArrays


def solve_plainly(arrays: ProblemArrays, *, rounds: int) -> Solved:
    """Give the best of `rounds` runs of the plain form."""
    return _solve(arrays, _plain, None, rounds)


def solve_tuned(arrays: ProblemArrays, *, rounds: int) -> Solved:
    """Give the best of `rounds` runs of the tuned form."""
    return _solve(arrays, _tuned, "HIGHS", rounds)


def _solve(
    arrays: ProblemArrays, form: Callable[[ProblemArrays], Any], solver: str | None, rounds: int
) -> Solved:
    best = Solved(float("inf"), None, "cvxpy: no optimum")
    for _ in range(rounds):
        problem = form(arrays)
        with Stopwatch() as watch:
            problem.solve(solver=solver)
        if problem.status == cvxpy.OPTIMAL and watch.seconds < best.seconds:
            best = Solved(watch.seconds, float(problem.value), f"cvxpy {problem.solver_stats.solver_name}")
    return best


def _plain(arrays: ProblemArrays) -> Any:
    cars, segments = len(arrays.arrival), len(arrays.segment_step)
    car, step = cells(arrays)
    most = np.zeros((cars, arrays.steps))
    most[car, step] = arrays.max_wh[car]
    at_step = np.zeros((arrays.steps, segments))
    at_step[arrays.segment_step, np.arange(segments)] = 1
    x, used = cvxpy.Variable((cars, arrays.steps), nonneg=True), cvxpy.Variable(segments, nonneg=True)
    return cvxpy.Problem(
        cvxpy.Minimize(arrays.segment_price @ used),
        [
            x <= most,
            used <= arrays.segment_cap_wh,
            cvxpy.sum(x, axis=1) == arrays.energy_wh,
            cvxpy.sum(x, axis=0) == at_step @ used,
        ],
    )


def _tuned(arrays: ProblemArrays) -> Any:
    car, step = cells(arrays)
    ones, number = np.ones(len(car)), np.arange(len(car))
    segments = len(arrays.segment_step)
    by_car = sparse.csr_matrix((ones, (car, number)), shape=(len(arrays.arrival), len(car)))
    by_step = sparse.csr_matrix((ones, (step, number)), shape=(arrays.steps, len(car)))
    at_step = sparse.csr_matrix(
        (np.ones(segments), (arrays.segment_step, np.arange(segments))), shape=(arrays.steps, segments)
    )
    x, used = cvxpy.Variable(len(car), nonneg=True), cvxpy.Variable(segments, nonneg=True)
    return cvxpy.Problem(
        cvxpy.Minimize(arrays.segment_price @ used),
        [
            x <= arrays.max_wh[car],
            used <= arrays.segment_cap_wh,
            by_car @ x == arrays.energy_wh,
            by_step @ x == at_step @ used,
        ],
    )

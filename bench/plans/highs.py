"""HiGHS on the same problem as a linear programme; only its solving is timed, not the building of the model.

Never to be loaded after ortools in one process: highspy then fails to load.
"""

from collections.abc import Sequence

import highspy
import numpy as np

from bench.plans.cells import Solved, cells
from bench.plans.stopwatch import Stopwatch
from evmesh.planning.arrays import ProblemArrays

Method = tuple[str, str]
SIMPLEX: Method = ("simplex", "on")
IPM: Method = ("ipm", "on")
IPM_ALONE: Method = ("ipm", "off")
"""Without crossover: the optimum to within its tolerance, no vertex."""


def solve_with_highs(
    arrays: ProblemArrays, methods: Sequence[Method], *, rounds: int, limit_s: float
) -> Solved:
    """Give the best of `rounds` runs of each method; a run ends at `limit_s`."""
    model = linear_programme(arrays)
    best = Solved(limit_s, None, "none")
    for method, crossover in methods:
        for _ in range(rounds):
            solver = highspy.Highs()  # type: ignore[no-untyped-call]
            solver.setOptionValue("output_flag", False)
            solver.setOptionValue("solver", method)
            solver.setOptionValue("run_crossover", crossover)
            solver.setOptionValue("time_limit", limit_s)
            solver.passModel(model)
            with Stopwatch() as watch:
                solver.run()
            if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                if best.objective is None:
                    best = Solved(watch.seconds, None, f"{method}, not done")
                break
            if best.objective is None or watch.seconds < best.seconds:
                name = f"{method} without crossover" if crossover == "off" else method
                best = Solved(watch.seconds, solver.getInfo().objective_function_value, name)
    return best


def linear_programme(arrays: ProblemArrays) -> highspy.HighsLp:
    """Columns: a car in a step of its window, then segments. Rows: a car's energy, a step's balance."""
    cars, segments = len(arrays.arrival), len(arrays.segment_step)
    car, step = cells(arrays)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(car) + segments, cars + arrays.steps
    model.col_cost_ = np.concatenate([np.zeros(len(car)), arrays.segment_price.astype(float)])
    model.col_upper_ = np.concatenate([arrays.max_wh[car], arrays.segment_cap_wh]).astype(float)
    model.col_lower_ = np.zeros(model.num_col_)
    balance = np.concatenate([arrays.energy_wh, np.zeros(arrays.steps)]).astype(float)
    model.row_lower_ = model.row_upper_ = balance
    ends = np.concatenate([2 * np.arange(len(car)), 2 * len(car) + np.arange(segments + 1)])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = ends.astype(np.int32)
    rows = np.concatenate([np.stack([car, cars + step], axis=1).ravel(), cars + arrays.segment_step])
    model.a_matrix_.index_ = rows.astype(np.int32)
    model.a_matrix_.value_ = np.concatenate([np.ones(2 * len(car)), -np.ones(segments)])
    return model

"""OR-tools' minimum-cost flow on the same problem, in a process of its own.

ortools must not be in a process that loads highspy later, so `python -m bench.plans.flow CARS` prints
{"seconds", "objective"} as JSON. Only `solve` is timed, the best of some runs; its objective is exact, in
integers.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.plans.cells import Solved, cells
from bench.plans.problems import group_day
from bench.plans.stopwatch import Stopwatch
from evmesh.planning.arrays import ProblemArrays, to_arrays

ROUNDS = 3


def solve_with_ortools(cars: int) -> Solved:
    """Solve `group_day(cars)` in another process."""
    child = subprocess.run(
        [sys.executable, "-m", "bench.plans.flow", str(cars)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(child.stdout)
    return Solved(answer["seconds"], answer["objective"], "OR-tools")


def _solve(arrays: ProblemArrays) -> tuple[float, int]:
    from ortools.graph.python import min_cost_flow

    cars, segments = len(arrays.arrival), len(arrays.segment_step)
    car, step = cells(arrays)
    sink = cars + arrays.steps
    tails = np.concatenate([car, cars + arrays.segment_step])
    heads = np.concatenate([cars + step, np.full(segments, sink)])
    room = np.concatenate([arrays.max_wh[car], arrays.segment_cap_wh])
    cost = np.concatenate([np.zeros(len(car), dtype=np.int64), arrays.segment_price])
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(tails.astype(np.int32), heads.astype(np.int32), room, cost)
    supplies = np.concatenate([arrays.energy_wh, np.zeros(arrays.steps, dtype=np.int64)])
    flow.set_nodes_supplies(np.arange(sink + 1, dtype=np.int32), np.append(supplies, -arrays.energy_wh.sum()))
    with Stopwatch() as watch:
        status = flow.solve()
    if status != flow.OPTIMAL:
        raise ValueError(f"OR-tools found no optimum: {status}")
    return watch.seconds, flow.optimal_cost()


if __name__ == "__main__":
    arrays = to_arrays(group_day(int(sys.argv[1])))
    runs = [_solve(arrays) for _ in range(ROUNDS)]
    print(json.dumps({"seconds": min(runs)[0], "objective": runs[0][1]}))

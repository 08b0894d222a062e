"""A plan with its certificate for 50 cars, beside HiGHS on the same problem as a linear programme.

Arrivals, departures and energies are those of `examples/sessions.csv`, all on one day; prices are a
day of `examples/prices.csv`, with a midday of PV; the group's capacity is 1.15 times the least that
serves everybody. HiGHS is timed for the solve alone, by the faster of its simplex and its interior
point method; ours is timed from a parsed problem to a finished certificate.
"""

import csv
import time
from datetime import UTC, datetime
from pathlib import Path

import highspy
import numpy as np

from bench.figure import Figure, seconds_per_call
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, problem_sha256, write_problem
from evmesh.domain.schedule import Schedule, write_schedule
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import verify_schedule

EXAMPLES = Path(__file__).parents[1] / "examples"
STEPS = 96
CAR_WH = 1_650
"""6.6 kW for a quarter of an hour: what the cars of these sessions take."""


def run() -> list[Figure]:
    """Plan 50 cars; the objectives must agree."""
    problem = group_day(50)
    raw = write_problem(problem)
    sha256 = problem_sha256(raw)
    answer = solve(problem, sha256=sha256)
    if not isinstance(answer, Schedule):
        raise TypeError("the benchmark's problem has become infeasible")
    written = write_schedule(answer)
    if not verify_schedule(raw, written).ok:
        raise ValueError("the certificate does not hold")
    highs_s, objective = solve_with_highs(problem)
    if round(objective) != answer.objective:
        raise ValueError(f"HiGHS finds {objective}, we find {answer.objective}")
    ours_s = seconds_per_call(lambda: solve(problem, sha256=sha256))
    return [
        Figure("plan 50 cars with certificate", "ms", 1_000 * ours_s, 1_000 * highs_s, "HiGHS, solve only"),
        Figure(
            "check the plan of 50 cars from its files",
            "ms",
            1_000 * seconds_per_call(lambda: verify_schedule(raw, written)),
            1_000 * ours_s,
            "planning it",
        ),
        Figure("objective of the plan of 50 cars", "Wh × price / 10^9", answer.objective / 1e9, exact=True),
    ]


def group_day(cars: int) -> Problem:
    """Give a day of the example sessions, at 1.15 times the least capacity that serves them all."""
    requests = _requests(cars)
    least, enough = 0, cars * CAR_WH
    while enough - least > 1:
        middle = (least + enough) // 2
        if isinstance(solve(_with_capacity(requests, middle)), Schedule):
            enough = middle
        else:
            least = middle
    return _with_capacity(requests, enough * 115 // 100)


def _requests(cars: int) -> list[Request]:
    requests = []
    with (EXAMPLES / "sessions.csv").open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            arrival = datetime.fromisoformat(row["arrival"])
            stay = datetime.fromisoformat(row["departure"]) - arrival
            first = -(-(arrival.hour * 3_600 + arrival.minute * 60 + arrival.second) // STEP_S)
            steps = min(int(stay.total_seconds()) // STEP_S, STEPS - first)
            if steps > 0:
                energy_wh = min(int(row["requested_wh"]), steps * CAR_WH)
                requests.append(Request(f"{number:03}", first, first + steps, Wh(energy_wh), Wh(CAR_WH)))
    return requests[:cars]


def _with_capacity(requests: list[Request], cap_wh: int) -> Problem:
    with (EXAMPLES / "prices.csv").open(encoding="utf-8", newline="") as file:
        hourly = [round(float(row["eur_per_mwh"]) * 1_000) for row in csv.DictReader(file)][:24]
    supply = []
    for step in range(STEPS):
        sun_wh = max(0, cap_wh * (24 - abs(step - 52)) // 48)
        price = hourly[step // 4]
        supply.append(SupplySegment(step, Wh(sun_wh), Price(min(20_000, price))))
        supply.append(SupplySegment(step, Wh(cap_wh - sun_wh), Price(price)))
    start = datetime(2026, 6, 1, tzinfo=UTC)
    return Problem(TimeGrid(start, STEP_S, STEPS), tuple(supply), tuple(requests))


def solve_with_highs(problem: Problem) -> tuple[float, float]:
    """Give (seconds of the faster method, objective)."""
    model = _linear_programme(problem)
    best = (float("inf"), 0.0)
    for method in ("simplex", "ipm"):
        for _ in range(3):
            solver = highspy.Highs()  # type: ignore[no-untyped-call]
            solver.setOptionValue("output_flag", False)
            solver.setOptionValue("solver", method)
            solver.passModel(model)
            started = time.perf_counter()
            solver.run()
            spent = time.perf_counter() - started
            if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                raise ValueError(f"HiGHS ({method}) found no optimum")
            best = min(best, (spent, solver.getInfo().objective_function_value))
    return best


def _linear_programme(problem: Problem) -> highspy.HighsLp:
    """Columns: a car in a step of its window, then segments. Rows: a car's energy, a step's balance."""
    cars, cost, upper, starts, indices, values = len(problem.requests), [], [], [0], [], []
    for number, request in enumerate(problem.requests):
        for step in range(request.arrival, request.departure):
            cost.append(0.0)
            upper.append(float(request.max_wh))
            indices += [number, cars + step]
            values += [1.0, 1.0]
            starts.append(len(indices))
    for segment in problem.supply:
        cost.append(float(segment.price))
        upper.append(float(segment.cap_wh))
        indices.append(cars + segment.step)
        values.append(-1.0)
        starts.append(len(indices))
    bounds = np.array([float(one.energy_wh) for one in problem.requests] + [0.0] * problem.steps)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(cost), len(bounds)
    model.col_cost_, model.col_upper_ = np.array(cost), np.array(upper)
    model.col_lower_ = np.zeros(len(cost))
    model.row_lower_ = model.row_upper_ = bounds
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.array(starts, dtype=np.int32)
    model.a_matrix_.index_ = np.array(indices, dtype=np.int32)
    model.a_matrix_.value_ = np.array(values)
    return model

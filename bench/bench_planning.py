"""A plan with its certificate for 50 to 50,000 cars, beside what solvers take for the same problem.

Ours is timed warm, from arrays to rows, prices and objective: the whole certificate. HiGHS is timed for the
solve alone, by the fastest of its methods; cvxpy for the whole of its solve call; OR-tools' minimum-cost
flow for the solve alone, in a process of its own. One pass of the checker over the same arrays is the unit
for large groups. All objectives are compared: those of integer solvers exactly, the others to within their
tolerance. Times are CPU times, so that a busy machine changes them little.
"""

import sys
from collections.abc import Iterator
from functools import partial
from statistics import median

from bench.figure import Figure
from bench.plans.cells import Solved
from bench.plans.check_pass import holds
from bench.plans.cvx import solve_plainly, solve_tuned
from bench.plans.flow import solve_with_ortools
from bench.plans.highs import IPM, IPM_ALONE, SIMPLEX, solve_with_highs
from bench.plans.problems import CAR_WH, group_day
from bench.plans.steps import STEP_S, hard_steps
from bench.plans.stopwatch import best_seconds
from evmesh.domain.problem import Request, parse_problem, write_problem
from evmesh.domain.schedule import Schedule, parse_schedule, write_schedule
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.planning.admission import Accepted, RefusedRequest, admit
from evmesh.planning.arrays import ProblemArrays, to_arrays
from evmesh.planning.dispatch import DispatchConnector, GroupLimit, dispatch
from evmesh.planning.optimiser import fill, solve
from evmesh.verify.schedule import verify_schedule

SIZES = (50, 500, 5_000, 50_000)
MOST_FOR_CVXPY, LEAST_FOR_FLOW = 500, 5_000
HIGHS_LIMIT_S = 150.0
"""By the clock. At 50,000 cars HiGHS may take minutes; where it is stopped, the ratio is at least that.

From 5,000 cars on it runs its interior point method alone, without crossover: the others take many times as
long.
"""
MOST_PASSES = 40
TOLERANCE = 1e-7


def run() -> list[Figure]:
    """Plan groups of four sizes; every objective must agree, every certificate must hold."""
    figures = [figure for cars in SIZES for figure in _plan(cars)]
    return [*figures, *_answers(50), *_currents(50), *_files(50_000)]


def _plan(cars: int) -> Iterator[Figure]:
    arrays = to_arrays(group_day(cars))
    filled = fill(arrays)
    if filled.cut.size or not holds(arrays, filled):
        raise ValueError(f"the plan of {cars} cars has no certificate that holds")
    ours_s = best_seconds(lambda: fill(arrays))
    check_s = best_seconds(lambda: holds(arrays, filled))
    name = f"plan {cars:,} cars with certificate"
    for short, long, solved in _baselines(cars, arrays):
        _agree(cars, solved, filled.objective)
        yield Figure(f"{name}: {short}", "ms", 1_000 * ours_s, 1_000 * solved.seconds, long)
    yield Figure(
        f"{name}: passes of the checker", "passes", ours_s / check_s, MOST_PASSES, "the most it may take"
    )
    yield Figure(f"a pass of the checker, {cars:,} cars", "ns per cell", 1e9 * check_s / len(filled.x_wh))
    yield Figure(f"objective, {cars:,} cars", "Wh × price / 10^9", filled.objective / 1e9, exact=True)


def _baselines(cars: int, arrays: ProblemArrays) -> Iterator[tuple[str, str, Solved]]:
    if cars < LEAST_FOR_FLOW:
        highs = solve_with_highs(arrays, [SIMPLEX, IPM, IPM_ALONE], rounds=5, limit_s=HIGHS_LIMIT_S)
    else:
        highs = solve_with_highs(arrays, [IPM_ALONE], rounds=1, limit_s=HIGHS_LIMIT_S)
    stopped = ", stopped" if highs.objective is None else ""
    yield "HiGHS", f"HiGHS, solve only{stopped}", highs
    if cars <= MOST_FOR_CVXPY:
        yield "cvxpy", "cvxpy as it comes, solve call", solve_plainly(arrays, rounds=3)
        yield "cvxpy, tuned", "cvxpy over cells with HiGHS, solve call", solve_tuned(arrays, rounds=5)
    if cars >= LEAST_FOR_FLOW:
        yield "flow", "OR-tools min-cost flow, solve only", solve_with_ortools(cars)


def _agree(cars: int, solved: Solved, objective: int) -> None:
    """Print what a solver found, and stop if it is another optimum than ours."""
    if solved.objective is None:
        print(f"{cars:>6,} cars  {solved.method}: stopped after {solved.seconds:.0f} s", file=sys.stderr)
        return
    apart = abs(solved.objective - objective)
    what = "equal" if not apart else f"{apart / abs(objective):.0e} apart"
    print(
        f"{cars:>6,} cars  {solved.method:<24} {solved.objective:>24,.2f}  ours {objective:>20,}  {what}",
        file=sys.stderr,
    )
    if apart > (0 if isinstance(solved.objective, int) else TOLERANCE * abs(objective)):
        raise ValueError(f"{solved.method} finds {solved.objective}, we find {objective}")


def _answers(cars: int) -> Iterator[Figure]:
    """What a service waits for: from nouns to a schedule that is bound to its problem's bytes."""
    roomy, full = group_day(cars), group_day(cars, 100)
    modest = Request("a-modest-one", 40, 72, Wh(8_000), CAR_WH)
    greedy = Request("a-greedy-one", 28, 40, Wh(12 * CAR_WH), CAR_WH)
    if not isinstance(admit(roomy, modest), Accepted):
        raise TypeError("the modest candidate is refused")
    refusal = admit(full, greedy)
    if not isinstance(refusal, RefusedRequest) or len(refusal.offers) != 2:
        raise TypeError("the greedy candidate is not refused with two offers")
    fill_s = best_seconds(lambda: fill(to_arrays(roomy)))
    for name, seconds in [
        (f"solve {cars} cars", best_seconds(lambda: solve(roomy))),
        (f"admit one more to {cars}: yes", best_seconds(lambda: admit(roomy, modest))),
        (f"admit one more to {cars}: no, two offers", best_seconds(lambda: admit(full, greedy))),
    ]:
        yield Figure(name, "ms", 1_000 * seconds, 1_000 * fill_s, "arrays and fill alone")


def _currents(cars: int) -> Iterator[Figure]:
    """Cutting a quarter of an hour into currents: one with room, and those in which cars make way."""
    roomy = [DispatchConnector(f"car-{n}", (1,), Milliamp(32_000), Wh(400)) for n in range(cars)]
    easy_s = best_seconds(lambda: dispatch(roomy, GroupLimit(power=W(4 * 400 * cars * 2)), STEP_S))
    yield Figure(f"cut a step of {cars} cars into currents", "ms", 1_000 * easy_s)
    hard = [
        best_seconds(partial(dispatch, connectors, limit, STEP_S), rounds=3)
        for connectors, limit in hard_steps(cars, 40)
    ]
    for name, seconds in (("the median", median(hard)), ("the longest", max(hard))):
        yield Figure(f"the same of 40 steps that are too full: {name}", "ms", 1_000 * seconds)


def _files(cars: int) -> Iterator[Figure]:
    """The same at the size of a city, from file to file, in plain Python."""
    problem = group_day(cars)
    raw = write_problem(problem)
    answer = solve(problem)
    if not isinstance(answer, Schedule):
        raise TypeError("the benchmark's problem has become infeasible")
    written = write_schedule(answer)
    if not verify_schedule(raw, written).ok:
        raise ValueError("the certificate does not hold")
    for name, work in {
        "write the problem": lambda: write_problem(problem),
        "read the problem": lambda: parse_problem(raw),
        "solve it": lambda: solve(problem),
        "write the schedule": lambda: write_schedule(answer),
        "read the schedule": lambda: parse_schedule(written),
        "check the schedule from both files": lambda: verify_schedule(raw, written),
    }.items():
        yield Figure(f"{cars:,} cars, {name}", "s", best_seconds(work, rounds=2))
    yield Figure(f"{cars:,} cars, problem and schedule", "MB", (len(raw) + len(written)) / 1e6, exact=True)

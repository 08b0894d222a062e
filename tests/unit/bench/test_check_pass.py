"""The pass that planning is timed by checks what the checker checks; else it would be too cheap a unit."""

from dataclasses import replace

from hypothesis import assume, event, given
from hypothesis import strategies as st

from bench.plans.check_pass import holds
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, problem_sha256, write_problem
from evmesh.domain.schedule import Schedule, ScheduleRow, write_schedule
from evmesh.planning.arrays import to_arrays
from evmesh.planning.fill import Fill
from evmesh.planning.optimiser import fill
from evmesh.verify.schedule import verify_schedule
from tests.unit.planning.strategies import problems


@given(problems(generous=True), st.data())
def test_the_compiled_pass_and_the_checker_agree_on_true_and_on_changed_plans(
    problem: Problem, data: st.DataObject
) -> None:
    arrays = to_arrays(problem)
    honest = fill(arrays)
    assume(not honest.missing_wh.any())
    assert holds(arrays, honest)

    changed = replace(honest, x_wh=honest.x_wh.copy(), step_price=honest.step_price.copy())
    for _ in range(data.draw(st.integers(0, 2))):
        if len(changed.x_wh):
            cells = st.integers(0, len(changed.x_wh) - 1)
            taken, given_to, moved = data.draw(st.tuples(cells, cells, st.integers(0, 3)))
            changed.x_wh[taken] -= moved
            changed.x_wh[given_to] += moved
    if data.draw(st.booleans()):
        changed.step_price[data.draw(st.integers(0, problem.steps - 1))] += data.draw(st.integers(-5, 5))
    changed = replace(changed, objective=changed.objective + data.draw(st.sampled_from([0, 0, 0, 1])))
    verdict = verify_schedule(write_problem(problem), written(problem, changed))
    event(f"holds: {verdict.ok}")
    assert holds(arrays, changed) == verdict.ok


def written(problem: Problem, filled: Fill) -> bytes:
    rows, begin = {}, 0
    for number in to_arrays(problem).order.tolist():
        request = problem.requests[number]
        end = begin + request.window_steps
        rows[number] = ScheduleRow(request.id, request.arrival, tuple(filled.x_wh[begin:end].tolist()))
        begin = end
    prices = tuple(Price(price) for price in filled.step_price.tolist())
    sha256 = problem_sha256(write_problem(problem))
    return write_schedule(
        Schedule(sha256, tuple(rows[n] for n in range(len(rows))), prices, filled.objective)
    )

"""Handing on what is not drawn: nobody loses energy, no limit breaks, and nothing costs more."""

from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.problem import Problem
from evmesh.domain.schedule import Schedule, ScheduleRow
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from evmesh.planning.spare import hand_on, row_with
from tests.unit.planning.oracle import cost_of_loads
from tests.unit.planning.strategies import problems


def loads_of(rows: list[ScheduleRow], steps: int) -> list[int]:
    return [sum(row.at(step) for row in rows) for step in range(steps)]


@given(problems(generous=True), st.data())
def test_extras_keep_every_promise_and_never_make_the_plan_dearer(
    problem: Problem, data: st.DataObject
) -> None:
    schedule = solve(problem)
    if not isinstance(schedule, Schedule):
        return
    step = data.draw(st.integers(0, problem.steps - 1))
    drawing = [row for row in schedule.rows if row.at(step)]
    draws = {
        row.id: Wh(data.draw(st.integers(0, row.at(step)))) for row in drawing if data.draw(st.booleans())
    }
    extras = hand_on(problem, schedule, step, draws)

    before = [row_with_draw(row, step, draws[row.id]) if row.id in draws else row for row in schedule.rows]
    after = [row_with(row, step, extras) for row in before]
    for old, new, request in zip(before, after, problem.requests, strict=True):
        assert new.total_wh == old.total_wh
        assert all(0 <= wh <= request.max_wh for wh in new.wh)
        assert all(request.arrival <= new.first + k < request.departure for k, wh in enumerate(new.wh) if wh)
        assert new.at(step) >= old.at(step)
        assert request.id not in draws or new == old
    cost_before = cost_of_loads(problem, loads_of(before, problem.steps))
    cost_after = cost_of_loads(problem, loads_of(after, problem.steps))
    assert cost_before is not None
    assert cost_after is not None, "a step is over its supply"
    assert cost_after <= cost_before


def row_with_draw(row: ScheduleRow, step: int, drawn: Wh) -> ScheduleRow:
    return ScheduleRow(
        row.id, row.first, tuple(drawn if row.first + k == step else wh for k, wh in enumerate(row.wh))
    )

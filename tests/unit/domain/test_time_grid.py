from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.time_grid import TimeGrid

START = datetime(2026, 9, 1, 6, tzinfo=UTC)
GRID = TimeGrid(START, 900, 4)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "step"), [(0, 0), (899, 0), (900, 1), (3599, 3)])
def test_an_instant_on_a_boundary_belongs_to_the_step_that_begins_there(seconds: int, step: int) -> None:
    assert GRID.index_of(at(seconds)) == step


@pytest.mark.parametrize("seconds", [-1, 3600, 10**6])
def test_an_instant_outside_the_horizon_has_no_step(seconds: int) -> None:
    with pytest.raises(InvalidInput, match=r"time\.outside_horizon"):
        GRID.index_of(at(seconds))


def test_bounds_are_half_open_and_meet() -> None:
    assert GRID.bounds(0) == (START, at(900))
    assert GRID.bounds(3) == (at(2700), GRID.end)
    for outside in (-1, 4):
        with pytest.raises(InvalidInput, match=r"time\.outside_horizon"):
            GRID.bounds(outside)


@pytest.mark.parametrize(
    ("seconds", "first", "ended"),
    [(-5000, 0, 0), (0, 0, 0), (1, 1, 0), (900, 1, 1), (901, 2, 1), (3600, 4, 4), (9999, 4, 4)],
)
def test_arrivals_round_up_and_departures_round_down(seconds: int, first: int, ended: int) -> None:
    assert GRID.first_step_from(at(seconds)) == first
    assert GRID.steps_ended_by(at(seconds)) == ended


@pytest.mark.parametrize(("seconds", "next_one"), [(-1, 0), (0, 900), (899, 900), (900, 1800), (5000, 5400)])
def test_the_next_boundary_is_after_the_instant_also_outside_the_grid(seconds: int, next_one: int) -> None:
    assert GRID.next_boundary(at(seconds)) == at(next_one)


def test_a_covering_grid_lies_on_quarter_hours_and_holds_both_ends() -> None:
    grid = TimeGrid.covering(at(61), at(1801))
    assert (grid.start, grid.steps) == (START, 3)
    assert TimeGrid.covering(START, START).steps == 0


def test_other_time_zones_are_kept_as_utc() -> None:
    summer_time = timezone(timedelta(hours=2))
    grid = TimeGrid(START.astimezone(summer_time), 900, 4)
    assert grid == GRID
    assert grid.start.tzinfo is UTC
    assert grid.index_of(at(900).astimezone(summer_time)) == 1


@pytest.mark.parametrize(
    ("start", "step_s", "steps", "code"),
    [
        (START.replace(tzinfo=None), 900, 4, "time.naive"),
        (START.replace(microsecond=1), 900, 4, "time.not_whole_seconds"),
        (START, 0, 4, "time.bad_step"),
        (START, 86_401, 4, "time.bad_step"),
        (START, 900, -1, "time.too_many_steps"),
        (START, 900, 100_001, "time.too_many_steps"),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), 900, 5, "time.out_of_range"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 900, 5, "time.out_of_range"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(start: datetime, step_s: int, steps: int, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        TimeGrid(start, step_s, steps)
    assert refused.value.code == code


@given(st.integers(-10_000, 10_000), st.integers(1, 1_000), st.integers(1, 20))
def test_every_instant_is_in_the_step_whose_bounds_hold_it(offset: int, step_s: int, steps: int) -> None:
    grid = TimeGrid(START, step_s, steps)
    instant = at(offset)
    if grid.start <= instant < grid.end:
        begin, end = grid.bounds(grid.index_of(instant))
        assert begin <= instant < end == grid.next_boundary(instant)
    assert grid.steps_ended_by(instant) <= grid.first_step_from(instant) <= grid.steps_ended_by(instant) + 1

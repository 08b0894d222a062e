"""The two forms of the greedy: what numba compiles gives what plain Python gives, bit for bit."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from evmesh.domain.problem import Problem, write_problem
from evmesh.domain.schedule import write_schedule
from evmesh.planning import compiled, greedy
from evmesh.planning.arrays import ProblemArrays, to_arrays
from evmesh.planning.optimiser import beyond_own_window_wh, solve
from tests.unit.planning.strategies import crowded_problem, problems


@given(st.one_of(problems(), problems(generous=True)))
def test_compiled_and_plain_python_give_the_same_answer(problem: Problem) -> None:
    arrays = to_arrays(problem)
    if beyond_own_window_wh(arrays):
        event("beyond a window")
        return
    _assert_same(arrays)


@pytest.mark.parametrize("seed", range(60))
def test_they_agree_where_cars_make_room_for_each_other_over_many_moves(seed: int) -> None:
    # 150 cars and 100 steps, so that sets of either need more than one word.
    _assert_same(to_arrays(crowded_problem(random.Random(seed), steps=20, cars=12)))
    if seed < 4:
        _assert_same(to_arrays(crowded_problem(random.Random(seed), steps=100, cars=150)))


def test_sums_beyond_64_bits_stay_exact() -> None:
    most = 2**31 - 1
    steps = 40
    whole = np.full(steps, most, dtype=np.int64)
    arrays = ProblemArrays(
        steps=steps,
        order=np.arange(steps),
        arrival=np.arange(steps),
        departure=np.arange(1, steps + 1),
        energy_wh=whole,
        max_wh=whole,
        segment_step=np.arange(steps),
        segment_cap_wh=whole,
        segment_price=whole,
    )
    assert compiled.fill(arrays).objective == steps * most * most
    negative = replace(arrays, segment_price=-whole)
    assert compiled.fill(negative).objective == -steps * most * most


def test_without_numba_the_answer_is_the_same_to_the_byte() -> None:
    problem = crowded_problem(random.Random(7), steps=20, cars=12)
    program = (
        "import sys; sys.modules['numba'] = None\n"
        "from evmesh.domain.problem import parse_problem\n"
        "from evmesh.domain.schedule import write_schedule\n"
        "from evmesh.planning.optimiser import solve\n"
        "sys.stdout.buffer.write(write_schedule(solve(parse_problem(sys.stdin.buffer.read()))))\n"
        "assert 'evmesh.planning.compiled' not in sys.modules\n"
    )
    plain = subprocess.run(
        [sys.executable, "-c", program], input=write_problem(problem), capture_output=True, check=True
    )
    assert plain.stdout == write_schedule(solve(problem))


def _assert_same(arrays: ProblemArrays) -> None:
    plain, fast = greedy.fill(arrays), compiled.fill(arrays)
    for name in ("x_wh", "used_wh", "step_price", "missing_wh", "cut"):
        assert np.array_equal(getattr(plain, name), getattr(fast, name)), name
    assert plain.objective == fast.objective

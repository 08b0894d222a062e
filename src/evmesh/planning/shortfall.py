"""Serve everybody, or leave out the least energy in all, and prove that less cannot be left out.

Which energies can be delivered together is a polymatroid: a set that serves some requests can be grown
to one that serves the most in all without taking anything from them. So asking one request after
another for the most that it can still have leaves out the least in total, in whatever order they are
asked; the order only says whom it hurts. The proof is the refusal of the whole wish: its set of steps
forces a deficit, and that deficit is what was left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.problem import Problem, Request, problem_sha256, write_problem
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.schedule import Refusal, Schedule
from evmesh.domain.units import Wh
from evmesh.planning.admission import Accepted
from evmesh.planning.arrays import to_arrays
from evmesh.planning.optimiser import fill, solve
from evmesh.planning.shaped import missing_wh, solve_shaped


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What was left out: `proof` refuses `wanted`, and its deficit is the sum of `missing_wh`."""

    wanted: Problem
    proof: Refusal
    missing_wh: Mapping[str, Wh]
    """By request id; only those that lack something."""


@dataclass(frozen=True, slots=True)
class Served:
    """A plan for everybody; `shortfall` is None where everybody has all of it."""

    accepted: Accepted
    shortfall: Shortfall | None


def serve(problem: Problem, requests: Sequence[Request], floors_wh: Mapping[str, Wh] | None = None) -> Served:
    """Plan as much of all requests as fits, the earlier ones in the list first.

    `floors_wh` are energies by request id that come before anything else, for each in the same order:
    what a rule leaves everybody while a cabinet is dimmed.
    """
    whole = problem.with_requests(requests)
    answer = solve(whole)
    if isinstance(answer, Schedule):
        return Served(Accepted(whole, answer), None)
    wished = [Wh(min(one.energy_wh, one.max_wh * one.window_steps)) for one in requests]
    given = [Wh(0)] * len(requests)
    for number, one in enumerate(requests if floors_wh else ()):
        given[number] = _most_wh(
            whole, given, number, min(wished[number], (floors_wh or {}).get(one.id, Wh(0)))
        )
    for number, wish in enumerate(wished):
        given[number] = _most_wh(whole, given, number, wish)
    less = [replace(one, energy_wh=wh) for one, wh in zip(requests, given, strict=True)]
    reduced = problem.with_requests(less)
    schedule = solve(reduced)
    if not isinstance(schedule, Schedule):
        raise AssertionError("what was found to fit together does not")
    missing = {
        one.id: Wh(one.energy_wh - other.energy_wh)
        for one, other in zip(requests, less, strict=True)
        if other.energy_wh < one.energy_wh
    }
    return Served(Accepted(reduced, schedule), Shortfall(whole, _proof(whole, wished), missing))


def in_full(served: Sequence[Served]) -> list[Served]:
    """Give those under which nobody lacks anything, the cheapest first."""
    full = [one for one in served if one.shortfall is None]
    return sorted(full, key=lambda one: one.accepted.schedule.objective)


def lacking_wh(served: Served) -> int:
    """Give what is left out of all requests together."""
    return 0 if served.shortfall is None else sum(served.shortfall.missing_wh.values())


def _most_wh(whole: Problem, given: Sequence[Wh], number: int, wish: Wh) -> Wh:
    """Give the most of a wish that fits beside what the others were given.

    What they were given fits, so it is served first, and all that is missing is the wish's.
    """
    if wish <= given[number]:
        return given[number]
    energies = [*given[:number], wish, *given[number + 1 :]]
    return Wh(wish - _missing(whole, energies)[0])


def _missing(whole: Problem, energies: Sequence[Wh]) -> tuple[int, tuple[int, ...]]:
    """Give what cannot be had of these energies, and the steps that are too small for it."""
    if isinstance(whole.shape, TreeShape):
        wishes = (replace(one, energy_wh=wh) for one, wh in zip(whole.requests, energies, strict=True))
        return missing_wh(whole.with_requests(wishes), whole.shape), ()
    arrays = to_arrays(whole)
    wanted = np.array([energies[number] for number in arrays.order.tolist()], dtype=np.int64)
    filled = fill(replace(arrays, energy_wh=wanted))
    return int(filled.missing_wh.sum()), tuple(filled.cut.tolist())


def _proof(whole: Problem, wished: Sequence[Wh]) -> Refusal:
    """Give the refusal whose deficit is all that cannot be had: own windows and shared steps."""
    if isinstance(whole.shape, TreeShape):
        answer = solve_shaped(whole, whole.shape)
        if not isinstance(answer, Refusal):
            raise AssertionError("what was refused is refused again")
        return answer
    missing, steps = _missing(whole, wished)
    deficit = missing + sum(one.energy_wh - wh for one, wh in zip(whole.requests, wished, strict=True))
    return Refusal(problem_sha256(write_problem(whole)), steps, Wh(min(deficit, MAX_DOCUMENT_INT)))

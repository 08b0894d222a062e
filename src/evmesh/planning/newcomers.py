"""What energy will be worth later, if as many cars come as came on the busiest of the last days.

A plan of least cost knows who is there, not who is still to come. Where a group is short it leaves dear
hours unused for the sake of cheap ones, and newcomers find the cheap ones taken. So the group looks
back: those who came in the same hours of an earlier day are planned beside those who are there, and what
has no place then is dearer than all that has one. The price of each later step in that plan is what a Wh
of it will be worth. `spare.py` then charges earlier what would stand in a step that will be wanted.
Nothing of it is a promise, or takes from one.

Where the supply goes through a tree of cables, the newcomers stand where they stood, and a Wh is worth as
much at a place as all cables on the way to it make it worth: one that will be full makes it dear for those
behind it, and for nobody else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.arrays import to_arrays
from evmesh.planning.optimiser import fill

DAYS_BACK = 7
"""How many days are looked at: the busiest of a week, whatever day it is."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PastStay:
    """A car that came: from when to when, what it took in all, and at most in a step.

    `departure` is the present where it is still there, `wh` then what it took so far.
    """

    arrival: datetime
    departure: datetime
    wh: Wh
    max_wh: Wh
    at: str = ""
    """The group of the tree that it stood at; empty where there is no tree."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who may come, and to which group of the tree."""

    request: Request
    at: str = ""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A problem with what its later energy will be worth as price.

    `surcharges` {request: [step]} is what it is worth more where a request stands than at the group's own
    cable; who is not in it stands there.
    """

    problem: Problem
    surcharges: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def expected(stays: Sequence[PastStay], grid: TimeGrid) -> tuple[Newcomer, ...] | None:
    """Give who may come after the first step of `grid`; None where no whole day is known yet.

    A day is the 24 hours that followed the present time of day, so nothing depends on a calendar; it is
    known if the first stay that is known began no later than it did.
    """
    first = min((one.arrival for one in stays), default=grid.start)
    busiest: list[PastStay] = []
    back = None
    for days in range(1, DAYS_BACK + 1):
        begin = grid.start - days * _DAY
        came = [one for one in stays if begin <= one.arrival < begin + _DAY]
        if begin >= first and (back is None or _taken(came) > _taken(busiest)):
            busiest, back = came, days
    if back is None:
        return None
    found: list[Newcomer | None] = []
    for later in range(back, back + -(-grid.steps * grid.length // _DAY)):
        for one in busiest:
            found.append(_again(one, later * _DAY, grid, f"newcomer {len(found)}"))
    return tuple(one for one in found if one is not None)


def as_many_as_fit(problem: Problem, places: Sequence[str] = ("",)) -> tuple[Newcomer, ...]:
    """Give newcomers who want all that there is after the first step: of a crowded group still unknown.

    `places` are the groups of the tree that cars can stand at: there is one newcomer at each.
    """
    if problem.steps < 2:
        return ()
    capacities = problem.capacities()[1:]
    most = max(capacities)
    wanted = Wh(min(sum(capacities), MAX_DOCUMENT_INT))
    if not most:
        return ()
    return tuple(
        Newcomer(Request(f"newcomers {number}", 1, problem.steps, wanted, Wh(most)), at)
        for number, at in enumerate(places)
    )


def foresee(problem: Problem, newcomers: Sequence[Newcomer]) -> Problem:
    """Give the problem with what its later energy will be worth as price, where that is more.

    Newcomers have names of their own. Cables between the supply and the cars are not looked at.
    """
    if not newcomers:
        return problem
    everybody, wanted, nowhere = with_newcomers(problem, newcomers)
    supply = [*problem.supply, *(SupplySegment(step, wanted, nowhere) for step in range(problem.steps))]
    worth = fill(to_arrays(Problem(problem.grid, tuple(supply), tuple(everybody)))).step_price.tolist()
    return at_least(problem, worth)


def with_newcomers(problem: Problem, newcomers: Sequence[Newcomer]) -> tuple[list[Request], Wh, Price]:
    """Give everybody, what they want in all, and the price of energy that has no place: above every other."""
    dearest = max((one.price for one in problem.supply), default=0)
    nowhere = Price(min(dearest + 1, MAX_DOCUMENT_INT))
    known = {one.id for one in problem.requests}
    everybody = [*problem.requests, *(one.request for one in newcomers if one.request.id not in known)]
    wanted = Wh(min(sum(one.energy_wh for one in everybody), MAX_DOCUMENT_INT))
    return everybody, wanted, nowhere


def at_least(problem: Problem, worth: Sequence[int]) -> Problem:
    """Give the problem with no later step cheaper than its energy is worth; the present is sold as it is."""
    foreseen = (
        replace(one, price=Price(max(one.price, worth[one.step]))) if one.step else one
        for one in problem.supply
    )
    return replace(problem, supply=tuple(foreseen))


def _taken(stays: Sequence[PastStay]) -> int:
    return sum(one.wh for one in stays)


def _again(stay: PastStay, later: timedelta, grid: TimeGrid, name: str) -> Newcomer | None:
    """Put a past stay on the grid, so much later; None where it does not begin after the first step."""
    arrival = grid.first_step_from(stay.arrival + later)
    departure = max(arrival + 1, grid.steps_ended_by(stay.departure + later))
    if stay.arrival + later <= grid.start or not 1 <= arrival < grid.steps:
        return None
    departure = min(departure, grid.steps)
    wh = Wh(min(stay.wh, stay.max_wh * (departure - arrival)))
    return Newcomer(Request(name, arrival, departure, wh, stay.max_wh), stay.at) if wh else None

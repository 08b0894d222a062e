"""Our policy: promises by the planner's own admission, plans of least cost, made anew at every event.

A car that comes asks for its stated energy by its stated departure. Where that is refused, it takes the
first offer: the most energy by that departure. What is promised stays promised; what a car wishes beyond
it, also after its stated departure, is asked for again whenever something has changed. Between two plans
the last one is followed, but for what the control loop hands out: what a step leaves unused goes to cars
that would else charge in a step that costs more, or that will be worth more if those come again who came
on the busiest day so far. Of those it knows only what was metered before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bench.replay.loop import Plugged
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule, ScheduleRow
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.admission import Accepted, admit
from evmesh.planning.newcomers import PastStay, as_many_as_fit, expected, foresee
from evmesh.planning.optimiser import solve
from evmesh.planning.spare import hand_on


@dataclass(slots=True)
class Planned:
    """Plans the group for the price of each step, and remembers what it promised.

    `said_yes` and `refused` count first answers; `promised` has, by car, the most that was ever
    promised in all; `step_price` is λ of each step by the plan in force when it began, the tariff's
    price where none was. With `foresees` it hands out what a step leaves unused; `crowded` is what its
    operator says of it before a whole day is known.
    """

    grid: TimeGrid
    cap_wh: int
    prices: Sequence[int]
    foresees: bool = True
    crowded: bool = False
    said_yes: int = 0
    refused: int = 0
    promised: dict[str, int] = field(default_factory=dict)
    step_price: list[int] = field(default_factory=list)
    _open: dict[str, int] = field(default_factory=dict)
    """Wh promised to a car that it still has to get."""
    _left: dict[str, int] = field(default_factory=dict)
    _offered: Mapping[str, int] = field(default_factory=dict)
    _schedule: Schedule | None = None
    _planned_at: int = 0
    _stays: dict[str, PastStay] = field(default_factory=dict)
    """What was metered of each car that ever came."""

    def offers(self, step: int, cars: Sequence[Plugged]) -> Mapping[str, int]:
        begin = self.grid.bounds(step)[0]
        for car in cars:
            self._stays.setdefault(car.id, PastStay(begin, begin, Wh(0), Wh(car.max_wh)))
        if self._is_new(step, cars):
            self._plan(step, cars)
        self.step_price.append(self._price(step))
        offered = {}
        for row in self._schedule.rows if self._schedule else ():
            if wh := row.at(step - self._planned_at):
                offered[row.id] = int(wh)
        self._offered, self._left = offered, {car.id: car.left_wh for car in cars}
        return self._with_extras(step, cars, offered) if self.foresees else offered

    def metered(self, step: int, taken: Mapping[str, int]) -> None:
        """Remember what each car took, and that it was there."""
        end = self.grid.bounds(step)[1]
        for name, wh in taken.items():
            before = self._stays[name]
            self._stays[name] = replace(before, departure=end, wh=Wh(before.wh + wh))

    def _with_extras(self, step: int, cars: Sequence[Plugged], offered: dict[str, int]) -> dict[str, int]:
        """Hand out what the step has unused, as the control loop does; the next plan knows of it."""
        if self._schedule is None:
            return offered
        grid = self._grid(step, max((car.until for car in cars), default=step + 1) - step)
        requests, rows = [], []
        for row in self._schedule.rows:
            wh = [row.at(at) for at in range(step - self._planned_at, row.end)]
            if any(wh):
                most = next(one.max_wh for one in cars if one.id == row.id)
                requests.append(Request(row.id, 0, len(wh), Wh(sum(wh)), Wh(most)))
                rows.append(ScheduleRow(row.id, 0, tuple(wh)))
        problem = Problem(grid, self._supply(step, grid.steps), tuple(requests))
        newcomers = expected(tuple(self._stays.values()), grid)
        if newcomers is None:
            newcomers = as_many_as_fit(problem) if self.crowded else ()
        schedule = Schedule("", tuple(rows), (Price(0),) * grid.steps, 0)
        more = dict(offered)
        for one in hand_on(foresee(problem, newcomers), schedule, 0, {}):
            more[one.id] = more.get(one.id, 0) + one.wh
        return more

    def _is_new(self, step: int, cars: Sequence[Plugged]) -> bool:
        """Tell whether anything is not as the last plan foresaw it; takes what was drawn off the promises."""
        expected = {name: left - self._offered.get(name, 0) for name, left in self._left.items()}
        found = {car.id: car.left_wh for car in cars}
        for car in cars:
            if car.id in self._open:
                self._open[car.id] -= self._left[car.id] - car.left_wh
        self._open = {name: wh for name, wh in self._open.items() if name in found}
        return expected != found or any(car.overdue for car in cars)

    def _price(self, step: int) -> int:
        at = step - self._planned_at
        if self._schedule is not None and at < len(self._schedule.step_price):
            return self._schedule.step_price[at]
        return self.prices[step]

    def _plan(self, step: int, cars: Sequence[Plugged]) -> None:
        horizon = max((car.until for car in cars), default=step + 1) - step
        grid, supply = self._grid(step, horizon), self._supply(step, horizon)
        wishes = {car.id: _request(car, step) for car in cars}
        kept = [
            replace(wishes[car.id], energy_wh=Wh(self._open[car.id])) for car in cars if car.id in self._open
        ]
        problem = Problem(grid, supply, tuple(kept))
        if not self._serve_everybody(problem, wishes, cars):
            self._serve_in_turn(problem, wishes, cars)
        self._planned_at = step

    def _grid(self, step: int, horizon: int) -> TimeGrid:
        start = self.grid.start + step * timedelta(seconds=self.grid.step_s)
        return TimeGrid(start, self.grid.step_s, horizon)

    def _supply(self, step: int, horizon: int) -> tuple[SupplySegment, ...]:
        return tuple(
            SupplySegment(at, Wh(self.cap_wh), Price(self.prices[step + at])) for at in range(horizon)
        )

    def _serve_everybody(
        self, problem: Problem, wishes: Mapping[str, Request], cars: Sequence[Plugged]
    ) -> bool:
        answer = solve(problem.with_requests(wishes.values()))
        if not isinstance(answer, Schedule):
            return False
        self._schedule = answer
        for car in cars:
            self._promise(car, wishes[car.id].energy_wh)
        return True

    def _serve_in_turn(
        self, problem: Problem, wishes: Mapping[str, Request], cars: Sequence[Plugged]
    ) -> None:
        """Keep what was promised; then give each, in the order of arrival, the most that still fits."""
        for car in cars:
            wish, others = wishes[car.id], problem.without(car.id)
            if self._open.get(car.id) == wish.energy_wh:
                continue
            answer = admit(others, wish)
            if not isinstance(answer, Accepted):
                fits = [one.energy_wh for one in answer.offers if one.departure == wish.departure]
                wish = replace(wish, energy_wh=max(fits, default=Wh(0)))
            problem = others.with_requests([*others.requests, wish])
            self._promise(car, wish.energy_wh)
        plan = solve(problem)
        if not isinstance(plan, Schedule):
            raise AssertionError("a promise or an offer of the planner was refused by the planner")
        self._schedule = plan

    def _promise(self, car: Plugged, wh: int) -> None:
        if car.id not in self.promised:
            self.said_yes += wh == car.left_wh
            self.refused += wh < car.left_wh
        if not car.overdue:
            self.promised[car.id] = self.promised.get(car.id, 0) + wh - self._open.get(car.id, 0)
        self._open[car.id] = wh


def _request(car: Plugged, step: int) -> Request:
    """Ask for what is left of the wish, cut to what the car can take until it leaves."""
    window_wh = car.max_wh * (car.until - step)
    return Request(car.id, 0, car.until - step, Wh(min(car.left_wh, window_wh)), Wh(car.max_wh))

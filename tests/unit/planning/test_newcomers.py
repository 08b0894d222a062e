from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.newcomers import Newcomer, PastStay, as_many_as_fit, expected, foresee
from evmesh.planning.newcomers_tree import foresee_tree
from evmesh.planning.optimiser import solve
from evmesh.planning.spare import Shared, hand_on

NOW = datetime(2026, 9, 8, 6, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
GRID = TimeGrid(NOW, 900, 4 * 12)


def stay(days_back: float, after: timedelta, wh: int = 4_000, hours: int = 2) -> PastStay:
    begin = NOW - days_back * DAY + after
    return PastStay(begin, begin + hours * HOUR, Wh(wh), Wh(1_000))


def group(prices: Sequence[int], *requests: Request, cap_wh: int = 1_000) -> Problem:
    grid = TimeGrid(NOW, 900, len(prices))
    supply = tuple(SupplySegment(step, Wh(cap_wh), Price(price)) for step, price in enumerate(prices))
    return Problem(grid, supply, requests)


def newcomer(arrival: int, departure: int, wh: int, at: str = "") -> Newcomer:
    return Newcomer(Request("newcomer", arrival, departure, Wh(wh), Wh(2_000)), at)


def windows_of(found: Sequence[Newcomer]) -> list[tuple[int, int, int]]:
    return [(one.request.arrival, one.request.departure, one.request.energy_wh) for one in found]


def prices_of(problem: Problem) -> list[int]:
    return [one.price for one in problem.supply]


def test_those_of_the_busiest_day_come_again_at_the_same_time_of_day() -> None:
    stays = [stay(7, HOUR), stay(3, HOUR, 6_000), stay(3, 2 * HOUR, 5_000), stay(1, 2 * HOUR, 9_000)]
    later = expected(stays, TimeGrid(NOW + HOUR, 900, 48))
    assert later is not None
    assert windows_of(later) == [(4, 12, 5_000)]
    found = expected(stays, GRID)
    assert found is not None
    assert windows_of(found) == [(4, 12, 6_000), (8, 16, 5_000)]


def test_who_came_before_this_time_of_day_comes_again_the_day_after() -> None:
    early = stay(1, 23 * HOUR)
    found = expected([stay(1, timedelta(0)), early], TimeGrid(NOW, 900, 4 * 48))
    assert found is not None
    assert [one.request.arrival for one in found] == [4 * 23, 4 * 24, 4 * 47]


def test_nothing_is_expected_before_a_whole_day_is_known() -> None:
    assert expected([], GRID) is None
    assert expected([stay(0.9, timedelta(0))], GRID) is None
    assert expected([stay(1, timedelta(0))], GRID) is not None


def test_a_short_stay_is_put_in_one_step_and_takes_no_more_than_it_can() -> None:
    brief = PastStay(NOW - DAY, NOW - DAY, Wh(0), Wh(1_000))
    short = PastStay(NOW - DAY + HOUR, NOW - DAY + HOUR, Wh(2_000), Wh(900))
    again = Request("newcomer 1", 4, 5, Wh(900), Wh(900))
    assert expected([brief, replace(short, at="north")], GRID) == (Newcomer(again, "north"),)


def test_a_later_step_that_newcomers_fill_is_worth_more_than_anything_that_is_sold() -> None:
    problem = group([50, 40, 10, 30], Request("car", 0, 4, Wh(500), Wh(1_000)))
    wanted = foresee(problem, [newcomer(2, 3, 2_000)])
    assert prices_of(wanted) == [50, 40, 51, 30]
    assert wanted.requests == problem.requests


def test_where_newcomers_find_room_a_step_is_worth_what_theirs_costs_them() -> None:
    problem = group([50, 40, 10, 30], Request("car", 0, 4, Wh(500), Wh(1_000)))
    assert prices_of(foresee(problem, [newcomer(2, 4, 1_200)])) == [50, 40, 30, 30]
    assert prices_of(foresee(problem, [newcomer(2, 4, 200)])) == [50, 40, 10, 30]
    assert foresee(problem, ()) is problem


def test_what_is_unused_now_goes_to_a_car_that_waits_for_what_others_will_want() -> None:
    problem = group([50, 40, 10], Request("car", 0, 3, Wh(500), Wh(1_000)))
    plan = solve(problem)
    assert isinstance(plan, Schedule)
    assert hand_on(problem, plan, 0, {}) == ()
    crowded = foresee(problem, as_many_as_fit(problem))
    assert [(one.wh, one.from_step) for one in hand_on(crowded, plan, 0, {})] == [(500, 2)]


def test_a_group_without_a_later_step_has_nothing_to_foresee() -> None:
    assert as_many_as_fit(group([5])) == ()
    assert as_many_as_fit(group([5, 5], cap_wh=0)) == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_more_newcomers_make_no_step_worth_less_and_the_present_is_sold_as_it_is(data: st.DataObject) -> None:
    prices = data.draw(st.lists(st.integers(-20, 60), min_size=2, max_size=6))
    windows = st.tuples(st.integers(0, len(prices) - 1), st.integers(1, len(prices))).filter(
        lambda one: one[0] < one[1]
    )

    def request(name: str, first: int) -> Request:
        begin, end = data.draw(windows)
        begin = max(begin, first)
        energy, most = data.draw(st.integers(0, 3_000)), data.draw(st.integers(1, 1_000))
        return Request(name, begin, max(begin + 1, end), Wh(energy), Wh(most))

    problem = group(prices, *(request(f"car {n}", 0) for n in range(data.draw(st.integers(0, 3)))))
    newcomers = [Newcomer(request(f"newcomer {n}", 1)) for n in range(data.draw(st.integers(1, 4)))]
    fewer, more = prices_of(foresee(problem, newcomers[:-1])), prices_of(foresee(problem, newcomers))
    assert fewer[0] == more[0] == prices[0]
    assert all(price <= worth <= max(prices) + 1 for price, worth in zip(prices, more, strict=True))
    assert all(less <= worth for less, worth in zip(fewer, more, strict=True))


def tree(steps: int, *cables: tuple[str, str, int]) -> TreeShape:
    """Give a yard that carries all, and (name, parent, capacity) of what hangs below it."""
    groups = [Group("yard", None, (10_000,) * steps, (0,) * steps)]
    groups += [Group(name, parent, (most,) * steps, (0,) * steps) for name, parent, most in cables]
    return TreeShape(tuple(groups), {})


CABLES = (
    ("feeder", "yard", 1_300),
    ("north", "feeder", 800),
    ("south", "feeder", 800),
    ("east", "yard", 900),
)
EVERYWHERE = [Request(name, 0, 4, Wh(300), Wh(1_000)) for name in ("north", "south", "east")]


def surcharges(*newcomers: Newcomer) -> dict[str, list[int]]:
    """Give what a Wh is worth more at each of three cars, one behind each cabinet, than at the yard."""
    problem = group([50, 40, 10, 30], *EVERYWHERE, cap_wh=10_000)
    shape = tree(problem.steps - 1, *CABLES)
    seen = foresee_tree(problem, shape, {one.id: one.id for one in EVERYWHERE}, newcomers)
    assert prices_of(seen.problem) == prices_of(problem)  # the yard's own cable carries everybody
    return {name: list(row) for name, row in seen.surcharges.items()}


def test_a_cabinet_that_newcomers_will_fill_is_dear_for_those_behind_it_alone() -> None:
    dear = surcharges(newcomer(2, 3, 2_000, "north"))
    assert dear == {"north": [0, 0, 41, 0], "south": [0, 0, 0, 0], "east": [0, 0, 0, 0]}


def test_a_feeder_that_newcomers_will_fill_is_dear_for_all_cabinets_on_it() -> None:
    both = [newcomer(2, 3, 450, "north"), newcomer(2, 3, 450, "south")]
    both = [replace(one, request=replace(one.request, id=one.at + " newcomer")) for one in both]
    dear = surcharges(*both)
    assert dear["north"] == dear["south"] == [0, 0, 20, 0]
    assert dear["east"] == [0, 0, 0, 0]


def test_newcomers_who_can_wait_make_a_cable_as_dear_as_waiting_costs_them() -> None:
    assert surcharges(newcomer(2, 4, 900, "east"))["east"] == [0, 0, 20, 0]


def test_who_comes_to_a_place_that_is_gone_is_left_out() -> None:
    assert surcharges(newcomer(2, 3, 2_000, "west")) == {}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-20, 60), min_size=2, max_size=6), st.data())
def test_where_every_cable_carries_all_a_tree_foresees_what_one_supply_does(
    prices: list[int], data: st.DataObject
) -> None:
    problem = group(prices, Request("car", 0, len(prices), Wh(500), Wh(1_000)))
    came = []
    for number in range(data.draw(st.integers(1, 4))):
        arrival = data.draw(st.integers(1, len(prices) - 1))
        departure = data.draw(st.integers(arrival + 1, len(prices)))
        wish = Request(
            f"newcomer {number}", arrival, departure, Wh(10 * data.draw(st.integers(0, 89)) + 7), Wh(900)
        )
        came.append(Newcomer(wish, "north"))
    seen = foresee_tree(problem, tree(len(prices) - 1, ("north", "yard", 10_000)), {"car": "north"}, came)
    assert not any(any(row) for row in seen.surcharges.values())
    plain = foresee(problem, came)
    for one, other in zip(seen.problem.supply, plain.supply, strict=True):
        assert one.price == other.price


def test_a_car_takes_now_what_will_be_wanted_behind_its_cable_as_far_as_limits_on_the_way_have_room() -> None:
    cars = [Request(name, 0, 3, Wh(500), Wh(1_000)) for name in ("north", "south")]
    problem = group([50, 40, 10], *cars, cap_wh=10_000)
    plan = solve(problem)
    assert isinstance(plan, Schedule)
    dear = {"north": (0, 0, 41)}
    assert [(one.id, one.wh) for one in hand_on(problem, plan, 0, {}, dear)] == [("north", 500)]
    cable = Shared(300, {"north": (1, 1)})
    assert [(one.id, one.wh) for one in hand_on(problem, plan, 0, {}, dear, [cable])] == [("north", 300)]
    line = Shared(300, {"north": (3, 2)})
    assert [(one.id, one.wh) for one in hand_on(problem, plan, 0, {}, dear, [line])] == [("north", 200)]

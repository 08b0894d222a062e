from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.newcomers import PastStay, as_many_as_fit, expected, foresee
from evmesh.planning.optimiser import solve
from evmesh.planning.spare import hand_on

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


def prices_of(problem: Problem) -> list[int]:
    return [one.price for one in problem.supply]


def test_those_of_the_busiest_day_come_again_at_the_same_time_of_day() -> None:
    stays = [stay(7, HOUR), stay(3, HOUR, 6_000), stay(3, 2 * HOUR, 5_000), stay(1, 2 * HOUR, 9_000)]
    later = expected(stays, TimeGrid(NOW + HOUR, 900, 48))
    assert later is not None
    assert [(one.arrival, one.departure, one.energy_wh) for one in later] == [(4, 12, 5_000)]
    found = expected(stays, GRID)
    assert found is not None
    assert [(one.arrival, one.departure, one.energy_wh) for one in found] == [(4, 12, 6_000), (8, 16, 5_000)]


def test_who_came_before_this_time_of_day_comes_again_the_day_after() -> None:
    early = stay(1, 23 * HOUR)
    found = expected([stay(1, timedelta(0)), early], TimeGrid(NOW, 900, 4 * 48))
    assert found is not None
    assert [one.arrival for one in found] == [4 * 23, 4 * 24, 4 * 47]


def test_nothing_is_expected_before_a_whole_day_is_known() -> None:
    assert expected([], GRID) is None
    assert expected([stay(0.9, timedelta(0))], GRID) is None
    assert expected([stay(1, timedelta(0))], GRID) is not None


def test_a_short_stay_is_put_in_one_step_and_takes_no_more_than_it_can() -> None:
    brief = PastStay(NOW - DAY, NOW - DAY, Wh(0), Wh(1_000))
    short = PastStay(NOW - DAY + HOUR, NOW - DAY + HOUR, Wh(2_000), Wh(900))
    assert expected([brief, short], GRID) == (Request("newcomer 1", 4, 5, Wh(900), Wh(900)),)


def test_a_later_step_that_newcomers_fill_is_worth_more_than_anything_that_is_sold() -> None:
    problem = group([50, 40, 10, 30], Request("car", 0, 4, Wh(500), Wh(1_000)))
    wanted = foresee(problem, [Request("newcomer", 2, 3, Wh(2_000), Wh(2_000))])
    assert prices_of(wanted) == [50, 40, 51, 30]
    assert wanted.requests == problem.requests


def test_where_newcomers_find_room_a_step_is_worth_what_theirs_costs_them() -> None:
    problem = group([50, 40, 10, 30], Request("car", 0, 4, Wh(500), Wh(1_000)))
    assert prices_of(foresee(problem, [Request("newcomer", 2, 4, Wh(1_200), Wh(2_000))])) == [50, 40, 30, 30]
    assert prices_of(foresee(problem, [Request("newcomer", 2, 4, Wh(200), Wh(2_000))])) == [50, 40, 10, 30]
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
    newcomers = [request(f"newcomer {n}", 1) for n in range(data.draw(st.integers(1, 4)))]
    fewer, more = prices_of(foresee(problem, newcomers[:-1])), prices_of(foresee(problem, newcomers))
    assert fewer[0] == more[0] == prices[0]
    assert all(price <= worth <= max(prices) + 1 for price, worth in zip(prices, more, strict=True))
    assert all(less <= worth for less, worth in zip(fewer, more, strict=True))

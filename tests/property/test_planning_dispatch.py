"""Dispatch under random groups: the fuse holds at every instant, and no car gets more than its due."""

from hypothesis import given, settings
from hypothesis import strategies as st

from evmesh.domain.units import Milliamp, W, Wh, current_from_watts
from evmesh.planning.dispatch import LINES, DispatchConnector, GroupLimit, dispatch

VOLTAGE = 230_000
UNITS_PER_WH = 3_600_000_000

LINE_CHOICES = st.sampled_from([(1,), (2,), (3,), (1, 2), (1, 2, 3), (2, 3, 1)])
CONNECTORS = st.lists(
    st.builds(
        DispatchConnector,
        id=st.uuids().map(str),
        lines=LINE_CHOICES,
        max_current=st.sampled_from([0, 6_000, 10_000, 16_000, 32_000]).map(Milliamp),
        due_wh=st.integers(-50, 3_000).map(Wh),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)
LIMITS = st.builds(
    GroupLimit,
    per_line=st.none() | st.integers(0, 80_000).map(Milliamp),
    power=st.none() | st.integers(0, 50_000).map(W),
)
SECONDS = st.integers(1, 900)


@given(CONNECTORS, LIMITS, SECONDS)
def test_the_limit_holds_in_every_slot_and_each_current_is_one_a_car_can_take(
    connectors: list[DispatchConnector], limit: GroupLimit, seconds_left: int
) -> None:
    found = dispatch(connectors, limit, seconds_left)
    for one in connectors:
        for current in found.currents[one.id]:
            assert current == 0 or 6_000 <= current <= one.max_current
    for slot in range(seconds_left // found.slot_s):
        power = 0
        per_line = dict.fromkeys(LINES, 0)
        for one in connectors:
            for line in one.lines:
                per_line[line] += found.currents[one.id][slot]
                power += found.currents[one.id][slot] * VOLTAGE
        if limit.per_line is not None:
            assert max(per_line.values()) <= limit.per_line
        if limit.power is not None:
            assert power <= limit.power * 1_000_000


@given(CONNECTORS, LIMITS, SECONDS)
def test_energy_given_and_energy_missing_add_up_to_what_was_due(
    connectors: list[DispatchConnector], limit: GroupLimit, seconds_left: int
) -> None:
    found = dispatch(connectors, limit, seconds_left)
    placed = 0
    for one in connectors:
        energy = sum(found.currents[one.id]) * VOLTAGE * len(one.lines) * found.slot_s
        placed += energy
        assert energy <= max(0, one.due_wh) * UNITS_PER_WH
        missing = max(0, one.due_wh) * UNITS_PER_WH - energy
        assert found.shortfall_wh[one.id] == missing // UNITS_PER_WH
    assert found.placed_wh == placed // UNITS_PER_WH <= found.bound_wh


@given(CONNECTORS, LIMITS, SECONDS, st.randoms(use_true_random=False))
def test_the_order_of_the_connectors_does_not_matter(
    connectors: list[DispatchConnector], limit: GroupLimit, seconds_left: int, shuffler: object
) -> None:
    other = list(connectors)
    shuffler.shuffle(other)  # type: ignore[attr-defined]
    assert dispatch(other, limit, seconds_left) == dispatch(connectors, limit, seconds_left)


@given(st.lists(st.integers(100, 900), min_size=1, max_size=5))
def test_without_a_limit_every_car_gets_its_due_to_within_a_watt_hour(due: list[int]) -> None:
    cars = [DispatchConnector(f"{n}", (1, 2, 3), Milliamp(32_000), Wh(wh)) for n, wh in enumerate(due)]
    found = dispatch(cars, GroupLimit(), 900)
    assert set(found.shortfall_wh.values()) == {0}
    assert found.gap_wh <= len(due)


LEAST_WH = {1: 24, 3: 70}
"""A minute at 6 A, rounded up."""


@st.composite
def nearly_full_steps(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]], int]:
    """Give phases, capacity, cars as (rating, due) and minutes: 5 % and a minute at 6 A are not due."""
    phases = draw(st.sampled_from([1, 3]))
    ratings = draw(
        st.lists(st.sampled_from([7_360, 3_680] if phases == 1 else [22_000, 11_000]), min_size=1, max_size=8)
    )
    capacity = draw(st.integers(max(ratings), sum(ratings)))
    minutes = draw(st.sampled_from([10, 15]))
    room = capacity * minutes // 60 * 95 // 100 - LEAST_WH[phases]
    cars = []
    for rating in ratings:
        most = min(rating * minutes // 60 * 90 // 100, room)
        due = draw(st.integers(LEAST_WH[phases], most)) if most >= LEAST_WH[phases] else 0
        room -= due
        cars.append((rating, due))
    return phases, capacity, cars, minutes


@settings(max_examples=300)
@given(nearly_full_steps())
def test_a_step_that_is_not_full_to_the_brim_is_delivered_in_full(
    step: tuple[int, int, list[tuple[int, int]], int],
) -> None:
    phases, capacity, cars, minutes = step
    board = [
        DispatchConnector(
            f"{number}", LINES if phases == 3 else (1,), current_from_watts(W(rating), phases), Wh(due)
        )
        for number, (rating, due) in enumerate(cars)
    ]
    found = dispatch(board, GroupLimit(power=W(capacity)), minutes * 60)
    assert max(found.shortfall_wh.values()) <= 1, found.shortfall_wh  # currents are rounded down

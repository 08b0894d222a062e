"""Dispatch under random groups: the fuse holds at every instant, and no car gets more than its due."""

from hypothesis import example, given
from hypothesis import strategies as st

from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import Milliamp, W, Wh, current_from_watts, energy_from_watts
from evmesh.planning.board import Fuse
from evmesh.planning.dispatch import LINES, DispatchConnector, GroupLimit, dispatch
from evmesh.planning.reserve import UNSHOWN_POWER_PERCENT, reserve_wh

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
NESTED = st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from([None, 1, 2, 3])), max_size=3)
"""Limits of the first connectors, of which each carries fewer than the one before: power, line."""

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


def nested(connectors: list[DispatchConnector], limits: list[tuple[int, int | None]]) -> GroupLimit:
    """Give limits of cables that hang on one another."""
    fuses = []
    for number, (power, line) in enumerate(limits):
        members = frozenset(one.id for one in connectors[number:])
        fuses.append(Fuse(W(power), members, line))
    return GroupLimit(power=W(45_000), fuses=tuple(fuses))


@given(CONNECTORS, NESTED, SECONDS)
def test_limits_of_parts_of_the_group_hold_in_every_slot_too_and_the_bound_is_one(
    connectors: list[DispatchConnector], limits: list[tuple[int, int | None]], seconds_left: int
) -> None:
    limit = nested(connectors, limits)
    found = dispatch(connectors, limit, seconds_left)
    for fuse in limit.fuses:
        for slot in range(seconds_left // found.slot_s):
            carried = sum(found.currents[one.id][slot] * fuse.weight(one) for one in connectors)
            assert carried * VOLTAGE <= fuse.power * 1_000_000
    assert found.placed_wh <= found.bound_wh
    assert found.bound_wh <= dispatch(connectors, GroupLimit(power=limit.power), seconds_left).bound_wh


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
    assert found.bound_wh <= found.due_wh + 1 == sum(max(0, one.due_wh) for one in connectors) + 1


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


LEAST_W = {1: W(1_380), 3: W(4_140)}
"""6 A."""

LEAST_WH = {phases: energy_from_watts(power, 60) + 1 for phases, power in LEAST_W.items()}
"""A minute at 6 A, rounded up."""

Step = tuple[int, int, list[tuple[int, int]], int]
"""Phases, capacity in W, cars as (rating, due), and minutes that are left."""


def promised_room(phases: int, capacity: int, ratings: list[int], minutes: int) -> int:
    """Give what is promised of the last minutes of a step; the minute at 6 A stays whole."""
    step_wh = energy_from_watts(W(capacity), STEP_S)
    kept_back = reserve_wh(step_wh, W(capacity), [W(one) for one in ratings], LEAST_W[phases])
    return (step_wh - kept_back + LEAST_WH[phases]) * minutes // 15 - LEAST_WH[phases]


@st.composite
def promised_steps(draw: st.DrawFn, minutes: st.SearchStrategy[int]) -> Step:
    """Give steps as full as admission lets them be: many small needs, and few cars that need the rest."""
    phases = draw(st.sampled_from([1, 3]))
    full, half = (7_360, 3_680) if phases == 1 else (22_000, 11_000)
    large = draw(st.sampled_from([full, half]))
    ratings = draw(st.lists(st.sampled_from([large, half]), min_size=1, max_size=8))
    beside = draw(st.integers(0, sum(ratings)) | st.integers(0, 2 * LEAST_W[phases]))
    capacity = max(ratings) * draw(st.integers(1, 2)) + beside
    left = draw(minutes)
    room = promised_room(phases, capacity, ratings, left)
    needs = []
    for rating in ratings:
        most = min(rating * left // 60 * UNSHOWN_POWER_PERCENT // 100, room)
        small = min(2 * LEAST_WH[phases], most)
        need = st.integers(0, most) | st.integers(min(LEAST_WH[phases], small), small) | st.just(most)
        due = draw(need) if most >= LEAST_WH[phases] else 0
        needs.append((rating, due if due >= LEAST_WH[phases] else 0))
        room -= needs[-1][1]
    return phases, capacity, needs, left


def shortfalls(step: Step) -> list[int]:
    phases, capacity, needs, minutes = step
    board = [
        DispatchConnector(
            f"{number}", LINES if phases == 3 else (1,), current_from_watts(W(rating), phases), Wh(due)
        )
        for number, (rating, due) in enumerate(needs)
    ]
    return list(dispatch(board, GroupLimit(power=W(capacity)), minutes * 60).shortfall_wh.values())


TAKES_TURNS = [(22_000, 70), (22_000, 70), (22_000, 102), (22_000, 137), (22_000, 275), (22_000, 276)]


@given(promised_steps(st.integers(10, 15)))
@example((3, 24_028, [*TAKES_TURNS, (22_000, 4_706)], 15))  # six in turn beside one that needs the rest
@example((3, 23_920, [(11_000, 2_475), (11_000, 2_475), (11_000, 392), (11_000, 268)], 15))
@example((3, 11_000, [(11_000, 70), (11_000, 80), (11_000, 733), (11_000, 412), (11_000, 551)], 11))
def test_what_admission_promises_of_a_step_is_delivered_in_full(step: Step) -> None:
    assert max(shortfalls(step)) <= 1, shortfalls(step)  # currents are rounded down


@given(promised_steps(st.integers(1, 9)))
@example((3, 14_998, [(11_000, 824), (11_000, 133), (11_000, 133)], 5))
@example((3, 11_132, [(11_000, 207), (11_000, 70), (11_000, 462), (11_000, 117), (11_000, 484)], 8))
def test_the_last_minutes_of_a_step_lack_less_than_a_minute_at_6_a(step: Step) -> None:
    """The fewer minutes are left, the less room there is to place one that needs 11 A for one of them.

    What then is missing, of all cars together, is planned again in the next step.
    """
    assert sum(shortfalls(step)) < LEAST_WH[step[0]], shortfalls(step)

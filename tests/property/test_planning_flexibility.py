"""Rewards fund themselves, whatever the meters say."""

from datetime import UTC, datetime, timedelta

from hypothesis import event, given
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import SupplySegment
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.flexibility import GroupDay, MeteredStay, rewards

START = datetime(2026, 9, 1, tzinfo=UTC)
PRICES = st.integers(-90_000, 400_000)


@st.composite
def days(draw: st.DrawFn) -> tuple[GroupDay, list[MeteredStay]]:
    """Draw a day that was really driven: no step delivered more than its supply."""
    steps = draw(st.integers(1, 6))
    stays = []
    for number in range(draw(st.integers(0, 5))):
        first = draw(st.integers(0, steps - 1))
        stays.append(
            MeteredStay(
                f"car-{number}",
                START + timedelta(seconds=900 * first + draw(st.integers(0, 899))),
                tuple(draw(st.lists(st.integers(0, 2_000), max_size=steps - first))),
                draw(st.integers(0, 3)) == 0,
            )
        )
    grid = TimeGrid(START, 900, steps)
    load = [0] * steps
    for stay in stays:
        for step, wh in enumerate(stay.wh, grid.index_of(stay.plugged_at)):
            load[step] += wh
    supply = []
    for step in range(steps):
        for cap in (load[step] // 3, load[step], draw(st.integers(0, 1_000))):
            supply.append(SupplySegment(step, Wh(cap), Price(draw(PRICES))))
    prices = tuple(draw(st.lists(PRICES, min_size=steps, max_size=steps)))
    return GroupDay(grid, tuple(supply), prices, draw(st.integers(0, 1_000))), stays


@given(days())
def test_all_rewards_together_are_within_the_share_of_the_cost_avoided(
    case: tuple[GroupDay, list[MeteredStay]],
) -> None:
    day, stays = case
    found = rewards(day, stays)
    event(f"something is paid: {any(found.by_id.values())}")
    assert set(found.by_id) == {stay.id for stay in stays}
    assert all(reward >= 0 for reward in found.by_id.values())
    assert all(found.by_id[stay.id] == 0 for stay in stays if stay.opted_out)
    paid = sum(found.by_id.values())
    assert paid * 1_000 * 1_000 <= max(0, found.avoided_millis) * day.share_per_mille


@given(days())
def test_baselines_hold_the_same_energy_within_each_stay_and_the_capacity(
    case: tuple[GroupDay, list[MeteredStay]],
) -> None:
    day, stays = case
    found = rewards(day, stays)
    room = [0] * day.grid.steps
    for segment in day.supply:
        room[segment.step] += segment.cap_wh
    for stay in stays:
        row = found.baselines[stay.id]
        assert len(row) == len(stay.wh)
        assert sum(row) == sum(stay.wh)
        assert all(0 <= wh <= stay.shown_wh for wh in row)
        for step, wh in enumerate(row, day.grid.index_of(stay.plugged_at)):
            room[step] -= wh
    assert min(room, default=0) >= 0


@given(days(), st.randoms(use_true_random=False))
def test_the_order_of_the_stays_does_not_matter(
    case: tuple[GroupDay, list[MeteredStay]], shuffler: object
) -> None:
    day, stays = case
    other = list(stays)
    shuffler.shuffle(other)  # type: ignore[attr-defined]
    assert rewards(day, other) == rewards(day, stays)

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.planning.dispatch import DispatchConnector, GroupLimit, dispatch

QUARTER = 900
THREE = (1, 2, 3)


def car(
    name: str, due_wh: int, lines: tuple[int, ...] = THREE, max_current: int = 32_000
) -> DispatchConnector:
    return DispatchConnector(name, lines, Milliamp(max_current), Wh(due_wh))


def test_a_car_whose_mean_current_is_a_current_runs_steadily() -> None:
    found = dispatch([car("van", 2_750)], GroupLimit(), QUARTER)
    assert set(found.currents["van"]) == {15_942}  # 2,750 Wh over 900 s on 3 × 230 V, rounded down
    assert found.shortfall_wh == {"van": 0}


def test_a_car_that_needs_less_than_6_a_is_given_one_block_of_whole_slots() -> None:
    currents = dispatch([car("van", 500)], GroupLimit(), QUARTER).currents["van"]
    assert currents == (6_211,) * 7 + (0,) * 8


def test_blocks_follow_one_another_so_that_the_group_is_level() -> None:
    found = dispatch([car(name, 500) for name in ("a", "b")], GroupLimit(), QUARTER)
    running = [sum(1 for row in found.currents.values() if row[slot]) for slot in range(15)]
    assert running == [1] * 14 + [0]


def test_a_fuse_that_carries_one_car_at_a_time_is_never_exceeded() -> None:
    found = dispatch([car("a", 480), car("b", 480)], GroupLimit(per_line=Milliamp(7_000)), QUARTER)
    assert max(sum(slot) for slot in zip(*found.currents.values(), strict=True)) <= 7_000
    assert sum(found.shortfall_wh.values()) == 0


def test_single_phase_cars_on_different_lines_do_not_share_a_fuse() -> None:
    fuse = GroupLimit(per_line=Milliamp(16_000))
    apart = dispatch([car("a", 900, (1,), 16_000), car("b", 900, (2,), 16_000)], fuse, QUARTER)
    together = dispatch([car("a", 900, (1,), 16_000), car("b", 900, (1,), 16_000)], fuse, QUARTER)
    assert sum(apart.shortfall_wh.values()) == 0
    assert together.placed_wh <= 920  # 16 A × 230 V for a quarter of an hour
    assert together.bound_wh == 920
    assert together.gap_wh < 23  # a slot of 6 A: what is left over is too little for a car


def test_a_power_limit_is_for_all_lines_together() -> None:
    found = dispatch([car("a", 2_750), car("b", 2_750)], GroupLimit(power=W(11_000)), QUARTER)
    for slot in zip(*found.currents.values(), strict=True):
        assert sum(slot) * 3 * 230_000 <= 11_000 * 1_000_000
    assert found.bound_wh == 2_750
    assert found.gap_wh <= 1


def test_cars_that_do_not_fit_side_by_side_are_packed_one_after_the_other() -> None:
    """Two cars of 6 A and a little do not run together under 10 A; each at 10 A for its time, they do."""
    found = dispatch([car("a", 1_040), car("b", 1_040)], GroupLimit(per_line=Milliamp(10_000)), QUARTER)
    assert found.bound_wh == 1_725
    assert found.gap_wh < 69  # a slot of 6 A on three phases


def test_what_blocks_leave_due_is_added_to_them_where_there_is_room() -> None:
    limit = GroupLimit(per_line=Milliamp(18_344), power=W(12_893))
    cars = [car("a", 703, (3,), 16_000), car("b", 922, (1,)), car("c", 189, (3,), 10_000)]
    assert dispatch(cars, limit, QUARTER).gap_wh <= 2


def test_in_the_last_slot_nothing_is_kept_back_for_a_slot_that_does_not_come() -> None:
    cars = [car("a", 325, THREE, 16_000), car("b", 623, (1,), 16_000)]
    assert dispatch(cars, GroupLimit(per_line=Milliamp(12_626)), QUARTER).gap_wh <= 29


def test_a_car_leaves_a_slot_to_one_that_has_none_and_draws_more_in_its_others() -> None:
    cars = [car(f"{n}", wh, max_current=15_942) for n, wh in enumerate((70, 80, 733, 412, 551))]
    found = dispatch(cars, GroupLimit(power=W(11_000)), 660)
    assert set(found.shortfall_wh.values()) == {0}


def test_a_current_below_the_least_is_never_given() -> None:
    found = dispatch([car("a", 60)], GroupLimit(), QUARTER)  # less than a slot of 6 A
    assert set(found.currents["a"]) == {0}
    assert found.shortfall_wh["a"] == 60
    assert found.gap_wh == 60


def test_a_car_that_got_more_than_planned_and_a_weak_cable_get_nothing() -> None:
    found = dispatch([car("ahead", -20), car("weak", 500, max_current=5_000)], GroupLimit(), QUARTER)
    assert not any(found.currents["ahead"])
    assert not any(found.currents["weak"])
    assert found.shortfall_wh == {"ahead": 0, "weak": 500}


def test_the_last_seconds_of_a_step_are_one_short_slot() -> None:
    found = dispatch([car("a", 60)], GroupLimit(), seconds_left=25)
    assert found.slot_s == 25
    assert len(found.currents["a"]) == 1


def test_nobody_waiting_is_no_error() -> None:
    found = dispatch([], GroupLimit(per_line=Milliamp(0)), QUARTER)
    assert (found.currents, found.gap_wh) == ({}, 0)


@pytest.mark.parametrize("lines", [(), (1, 1), (4,), (0, 1)])
def test_lines_that_do_not_exist_are_refused(lines: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"dispatch\.bad_lines"):
        car("a", 10, lines)


def test_two_connectors_of_one_name_and_no_time_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"dispatch\.duplicate_id"):
        dispatch([car("a", 1), car("a", 1)], GroupLimit(), QUARTER)
    with pytest.raises(InvalidInput, match=r"dispatch\.no_time"):
        dispatch([car("a", 1)], GroupLimit(), 0)

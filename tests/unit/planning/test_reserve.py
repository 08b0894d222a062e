from evmesh.domain.units import Milliamp, W, Wh
from evmesh.planning.dispatch import DispatchConnector, GroupLimit, dispatch
from evmesh.planning.reserve import reserve_wh, unusable

SIX_AMPS = {1: W(1_380), 3: W(4_140)}


def test_most_cabinets_keep_back_5_percent_and_a_minute_at_6_a() -> None:
    assert reserve_wh(Wh(4_000), W(16_000), [W(7_360)] * 8, SIX_AMPS[1]) == 200 + 23


def test_a_cabinet_that_carries_one_car_at_a_time_keeps_back_a_minute_for_each() -> None:
    assert reserve_wh(Wh(1_000), W(4_000), [W(22_000)] * 2, SIX_AMPS[3]) == 50 + 2 * 69


def test_what_nobody_can_use_beside_the_largest_outlet_is_not_promised() -> None:
    """18.7 A and two outlets of 16 A: a mixed-integer solver places 2,968 of these 2,988 Wh."""
    capacity, ratings = W(12_876), [W(11_000)] * 2
    cars = [
        DispatchConnector(name, (1, 2, 3), Milliamp(15_942), Wh(wh))
        for name, wh in (("a", 2_475), ("b", 513))
    ]
    assert dispatch(cars, GroupLimit(power=capacity), 900).placed_wh == 2_968
    assert 3_219 - reserve_wh(Wh(3_219), capacity, ratings, SIX_AMPS[3]) <= 2_968


def test_nothing_is_lost_where_the_largest_outlet_can_use_all_of_it_or_two_fit_beside_it() -> None:
    for capacity in (W(11_000), W(11_000 + 2 * 4_140)):
        assert unusable(capacity, [W(11_000)] * 2, SIX_AMPS[3]) == 0

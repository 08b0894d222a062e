from datetime import UTC, datetime, timedelta

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.problem import SupplySegment
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.flexibility import GroupDay, MeteredStay, rewards

START = datetime(2026, 9, 1, 17, tzinfo=UTC)


def day(
    *tariffs: int, cap_wh: int = 3_000, share: int = 500, prices: tuple[int, ...] | None = None
) -> GroupDay:
    supply = tuple(SupplySegment(step, Wh(cap_wh), Price(price)) for step, price in enumerate(tariffs))
    return GroupDay(TimeGrid(START, 900, len(tariffs)), supply, prices or tariffs, share)


def stay(name: str, *wh: int, after_s: int = 0, opted_out: bool = False) -> MeteredStay:
    return MeteredStay(name, START + timedelta(seconds=after_s), wh, opted_out)


def test_a_car_that_waited_for_the_cheap_step_earns_the_operators_share_of_what_that_saved() -> None:
    found = rewards(day(300_000, 100_000), [stay("commuter", 0, 2_000)])
    assert found.baselines == {"commuter": (2_000, 0)}
    assert found.avoided_millis == 2_000 * 200_000
    assert found.by_id == {"commuter": 200_000}  # half of 0.40, in millionths


def test_a_car_that_charged_at_once_earns_nothing() -> None:
    assert rewards(day(300_000, 100_000), [stay("taxi", 2_000, 0)]).by_id == {"taxi": 0}


def test_an_opt_out_earns_nothing_whatever_its_meter_says() -> None:
    found = rewards(day(300_000, 100_000), [stay("taxi", 0, 2_000, opted_out=True)])
    assert found.by_id == {"taxi": 0}
    assert found.avoided_millis > 0


def test_a_car_that_made_it_dearer_earns_nothing_and_owes_nothing() -> None:
    found = rewards(day(100_000, 300_000), [stay("late", 0, 2_000)])
    assert found.by_id == {"late": 0}
    assert found.avoided_millis < 0


def test_the_baseline_is_no_faster_than_the_car_ever_showed() -> None:
    assert rewards(day(3, 2, 1), [stay("slow", 0, 700, 900)]).baselines == {"slow": (900, 700, 0)}


def test_the_step_of_the_plug_in_gives_only_its_rest() -> None:
    assert rewards(day(3, 2, 1), [stay("van", 0, 0, 900, after_s=600)]).baselines == {"van": (300, 600, 0)}


def test_a_car_that_drew_more_in_its_first_minutes_than_it_showed_later_could_have_done_so() -> None:
    assert rewards(day(3, 2, 1), [stay("van", 500, 0, 900, after_s=600)]).baselines == {"van": (500, 900, 0)}


def test_the_baselines_share_the_capacity_in_the_order_of_the_plug_ins() -> None:
    found = rewards(
        day(9, 5, 1, cap_wh=900), [stay("a-second", 0, 400, 300, after_s=60), stay("b-first", 0, 200, 600)]
    )
    assert found.baselines["b-first"] == (600, 200, 0)
    assert found.baselines["a-second"] == (300, 400, 0)


def test_a_car_that_first_come_first_served_would_starve_keeps_its_metered_row() -> None:
    """The long stay came first; without flexibility the short one would have left with less."""
    found = rewards(day(9, 5, 1, cap_wh=1_000), [stay("long", 0, 0, 1_000), stay("short", 800, after_s=1)])
    assert found.baselines == {"short": (800,), "long": (200, 800, 0)}


def test_a_scarcity_price_is_capped_at_the_steps_dearest_tariff() -> None:
    """λ of the first step is 900,000 for the plan, but no Wh there ever cost more than 300,000."""
    tariffs = (300_000, 100_000, 300_000, 100_000)
    found = rewards(
        day(*tariffs, prices=(900_000, *tariffs[1:]), share=1_000),
        [stay("a", 0, 1_000), stay("b", 0, 1_000, after_s=1_800)],
    )
    assert found.by_id == {"a": 200_000, "b": 200_000}


def test_rewards_are_scaled_down_together() -> None:
    one = rewards(day(300_000, 100_000, share=1_000), [stay("a", 0, 1_000), stay("b", 0, 500)])
    tenth = rewards(day(300_000, 100_000, share=100), [stay("a", 0, 1_000), stay("b", 0, 500)])
    assert one.by_id == {"a": 200_000, "b": 100_000}
    assert tenth.by_id == {"a": 20_000, "b": 10_000}


@pytest.mark.parametrize(
    ("group", "stays", "code"),
    [
        (day(1, 1), [stay("a", 1, 1, 1)], "flexibility.outside_horizon"),
        (day(1, 1), [stay("a", 1), stay("a", 1)], "flexibility.duplicate_id"),
        (GroupDay(TimeGrid(START, 900, 1), (), (1,), 1), [stay("a", 1)], "flexibility.no_tariff"),
        (day(1, 1), [stay("a", 1, after_s=1_800)], "time.outside_horizon"),
    ],
)
def test_facts_that_cannot_be_priced_are_refused(
    group: GroupDay, stays: list[MeteredStay], code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        rewards(group, stays)
    assert refused.value.code == code


def test_a_share_of_more_than_all_and_a_negative_meter_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"flexibility\.bad_share"):
        day(1, share=1_001)
    with pytest.raises(InvalidInput, match=r"flexibility\.negative"):
        stay("a", -1)
    with pytest.raises(InvalidInput, match=r"flexibility\.step_count"):
        day(1, 2, prices=(1,))

"""Every way in which a certificate can be false, one by one, each with its own code."""

import json
from typing import Any

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import problem_sha256
from evmesh.verify.schedule import Verdict, verify_schedule

PROBLEM: dict[str, Any] = {
    "format": "evmesh.problem/1",
    "start": "2026-09-01T06:00:00Z",
    "step_s": 900,
    "steps": 3,
    "supply": [
        {"step": 0, "cap_wh": 100, "price": 10},
        {"step": 0, "cap_wh": 100, "price": 30},
        {"step": 1, "cap_wh": 100, "price": 20},
        {"step": 2, "cap_wh": 100, "price": 40},
    ],
    "requests": [
        {"id": "van", "arrival": 0, "departure": 2, "energy_wh": 150, "max_wh": 90},
        {"id": "hatchback", "arrival": 1, "departure": 3, "energy_wh": 40, "max_wh": 60},
    ],
}
"""Cheapest: the van takes 90 and 60, the hatchback shares the second step; 1,900 in all."""

SCHEDULE: dict[str, Any] = {
    "format": "evmesh.schedule/1",
    "status": "optimal",
    "rows": [{"id": "van", "first": 0, "wh": [90, 60]}, {"id": "hatchback", "first": 1, "wh": [40]}],
    "step_price": [10, 20, 40],
    "objective": "2900",
}

TOO_MUCH: dict[str, Any] = {
    **PROBLEM,
    "requests": [
        {"id": "van", "arrival": 0, "departure": 2, "energy_wh": 150, "max_wh": 90},
        {"id": "hatchback", "arrival": 1, "departure": 2, "energy_wh": 45, "max_wh": 60},
    ],
}
REFUSAL: dict[str, Any] = {
    "format": "evmesh.schedule/1",
    "status": "infeasible",
    "steps": [1],
    "deficit_wh": 5,
}


def check(answer: dict[str, Any], problem: dict[str, Any] = PROBLEM) -> Verdict:
    raw = json.dumps(problem).encode()
    return verify_schedule(raw, json.dumps({"problem_sha256": problem_sha256(raw), **answer}).encode())


def rows(*wh: list[int], first: tuple[int, int] = (0, 1)) -> dict[str, Any]:
    names = ("van", "hatchback")
    return {
        "rows": [{"id": name, "first": at, "wh": one} for name, at, one in zip(names, first, wh, strict=True)]
    }


def test_a_true_certificate_holds() -> None:
    assert check(SCHEDULE) == Verdict(True)


def test_zeros_around_a_row_and_the_order_of_rows_mean_nothing() -> None:
    padded = rows([90, 60, 0], [0, 40, 0], first=(0, 0))["rows"]
    assert check({**SCHEDULE, "rows": padded[::-1]}) == Verdict(True)


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"problem_sha256": "0" * 64}, "schedule.other_problem", "problem_sha256"),
        ({"problem_sha256": "A" * 64}, "schedule.bad_hash", "problem_sha256"),
        ({"step_price": [10, 20]}, "schedule.step_count", "step_price"),
        ({"step_price": [10, 20, 40, 40]}, "schedule.step_count", "step_price"),
        ({"rows": SCHEDULE["rows"][:1]}, "schedule.row_missing", "rows"),
        ({"rows": [*SCHEDULE["rows"], SCHEDULE["rows"][0]]}, "schedule.row_twice", "rows[2].id"),
        (
            {"rows": [*SCHEDULE["rows"], {"id": "ghost", "first": 0, "wh": []}]},
            "schedule.row_unknown",
            "rows[2].id",
        ),
        (rows([90, 60], [40], first=(0, 3)), "schedule.outside_horizon", "rows[1].first"),
        (rows([90, 60], [40], first=(-1, 1)), "schedule.outside_horizon", "rows[0].first"),
        (rows([90, 60], [40], first=(0, 0)), "schedule.outside_window", "rows[1].wh[0]"),
        (rows([90, 70, -10], [40]), "schedule.negative", "rows[0].wh[2]"),
        (rows([91, 59], [40]), "schedule.above_max", "rows[0].wh[0]"),
        (rows([90, 59], [40]), "schedule.energy_differs", "rows[0].wh"),
        (rows([90, 60], []), "schedule.energy_differs", "rows[1].wh"),
        ({"step_price": [9, 20, 40]}, "schedule.price_below_used", "step_price[0]"),
        ({"step_price": [10, 19, 40]}, "schedule.price_below_used", "step_price[1]"),
        ({"step_price": [10, 20, 41]}, "schedule.price_above_unfilled", "step_price[2]"),
        ({"step_price": [11, 20, 40]}, "schedule.price_above_unfilled", "step_price[0]"),
        (rows([80, 70], [30, 10]) | {"objective": "3200"}, "schedule.not_cheapest", "rows[0]"),
        (rows([90, 60], [30, 10]) | {"objective": "3100"}, "schedule.not_cheapest", "rows[1]"),
        ({"objective": "2901"}, "schedule.objective_differs", "objective"),
        ({"objective": "2900.0"}, "schedule.bad_objective", "objective"),
        ({"objective": "+2900"}, "schedule.bad_objective", "objective"),
        ({"objective": 2900}, "document.bad_type", "objective"),
        ({"step_price": [10, 20.0, 40]}, "document.not_an_integer", "step_price[1]"),
        ({"step_price": [10, None, 40]}, "document.bad_type", "step_price[1]"),
        ({"step_price": [10, 2**31, 40]}, "document.number_too_large", "step_price[1]"),
        ({"status": "cheap"}, "schedule.bad_status", "status"),
        ({"format": "evmesh.schedule/2"}, "document.unknown_format", "format"),
        ({"note": "trust me"}, "document.unknown_key", "note"),
    ],
)
def test_a_false_certificate_is_named(change: dict[str, Any], code: str, path: str) -> None:
    assert check({**SCHEDULE, **change}) == Verdict(False, code, path)


def test_more_energy_than_a_step_supplies_is_refused() -> None:
    narrow = {
        **PROBLEM,
        "supply": [{**one, "cap_wh": 99} if one["step"] == 1 else one for one in PROBLEM["supply"]],
    }
    assert check(SCHEDULE, narrow).code == "schedule.over_capacity"


def test_a_row_without_its_key_is_refused() -> None:
    assert check({**SCHEDULE, "rows": [{"id": "van", "first": 0}]}) == Verdict(
        False, "document.missing_key", "rows[0].wh"
    )


def test_a_true_refusal_holds() -> None:
    assert check(REFUSAL, TOO_MUCH) == Verdict(True)


def test_a_refusal_may_name_more_steps_than_needed_where_they_lack_energy_too() -> None:
    assert check({**REFUSAL, "steps": [0, 1], "deficit_wh": 1}, TOO_MUCH).code == "refusal.no_deficit"


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"steps": []}, "refusal.no_deficit", "steps"),
        ({"steps": [0]}, "refusal.no_deficit", "steps"),
        ({"steps": [1, 1]}, "refusal.bad_steps", "steps[1]"),
        ({"steps": [1, 0]}, "refusal.bad_steps", "steps[1]"),
        ({"steps": [3]}, "refusal.bad_steps", "steps[0]"),
        ({"steps": [-1]}, "refusal.bad_steps", "steps[0]"),
        ({"deficit_wh": 4}, "refusal.deficit_differs", "deficit_wh"),
        ({"deficit_wh": 0}, "refusal.deficit_differs", "deficit_wh"),
        ({"offers": [{"energy_wh": 0, "departure": 2}]}, "refusal.bad_offer", "offers[0].energy_wh"),
        ({"offers": [{"energy_wh": 1, "departure": 4}]}, "refusal.bad_offer", "offers[0].departure"),
        ({"rows": []}, "document.unknown_key", "rows"),
    ],
)
def test_a_false_refusal_is_named(change: dict[str, Any], code: str, path: str) -> None:
    assert check({**REFUSAL, **change}, TOO_MUCH) == Verdict(False, code, path)


def test_a_car_with_time_to_spare_does_not_lessen_what_the_others_lack() -> None:
    patient = {"id": "patient", "arrival": 0, "departure": 3, "energy_wh": 10, "max_wh": 90}
    assert check(REFUSAL, {**TOO_MUCH, "requests": [*TOO_MUCH["requests"], patient]}) == Verdict(True)


def test_a_refusal_of_what_fits_is_false() -> None:
    assert check(REFUSAL).code == "refusal.no_deficit"


def test_a_deficit_past_what_a_document_can_write_is_given_as_its_largest_number() -> None:
    most = 2**31 - 1
    cars = [{"id": f"{n}", "arrival": 0, "departure": 1, "energy_wh": most, "max_wh": most} for n in range(3)]
    problem = {**PROBLEM, "supply": [], "requests": cars}
    assert check({**REFUSAL, "steps": [0], "deficit_wh": most}, problem) == Verdict(True)
    assert check({**REFUSAL, "steps": [0], "deficit_wh": most - 1}, problem).code == "refusal.deficit_differs"


def test_an_unreadable_problem_is_an_error_and_no_verdict() -> None:
    with pytest.raises(InvalidInput) as refused:
        verify_schedule(b'{"format":', b"{}")
    assert refused.value.code == "document.not_json"

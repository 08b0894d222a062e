"""The checker of plans over trees, on an answer made by hand: it holds, and no rule may be broken."""

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.verify.schedule import Verdict
from evmesh.verify.tree import verify_tree

Document = dict[str, Any]

PROBLEM: Document = {
    "format": "evmesh.problem/2",
    "start": "2026-09-01T06:00:00Z",
    "step_s": 900,
    "steps": 2,
    "groups": [
        {"id": "transformer", "capacity_wh": 100},
        {"id": "feeder", "parent": "transformer", "capacity_wh": 50, "other_wh": [10, 0]},
    ],
    "import": [{"step": 0, "cap_wh": 90, "price": 10}, {"step": 1, "cap_wh": 90, "price": 30}],
    "export": [{"step": 1, "cap_wh": 5, "price": 8}],
    "local": [{"group": "feeder", "step": 0, "cap_wh": 6, "price": 4}],
    "batteries": [
        {
            "id": "box", "group": "transformer", "capacity_wh": 30, "max_in_wh": 20, "max_out_wh": 20,
            "efficiency": 900, "stored_wh": 10, "final_wh": 10,
        }
    ],
    "requests": [
        {"id": "van", "group": "feeder", "arrival": 0, "departure": 2, "energy_wh": 60, "max_wh": 50},
        {
            "id": "taxi", "group": "feeder", "arrival": 1, "departure": 2, "energy_wh": 3, "max_wh": 9,
            "v2g": {"max_out_wh": 4, "efficiency": 800, "stored_wh": 8, "least_wh": 8, "most_wh": 20},
        },
    ],
}  # fmt: skip
RAW = json.dumps(PROBLEM).encode()
# Step 0: the feeder's cable has room for 40 beside the other 10, and the sun adds 6. So the van takes 46
# there, and 14 in step 1, where the taxi takes 3. The battery takes 19 at 10, of which 17.1 can come out:
# the 17 of step 1. Prices: 20 in step 1, and on the feeder in step 0. The least of each term adds up to
# 1,200 (van) + 60 (taxi: 3 × 0.8 × 25) - 96 (sun: 6 × 16) - 400 (cable: 40 × 10) - 160 (battery: 20 × 8).
PLAN: Document = {
    "format": "evmesh.schedule/2",
    "problem_sha256": hashlib.sha256(RAW).hexdigest(),
    "status": "bounded",
    "rows": [{"id": "van", "first": 0, "wh": [46, 14]}],
    "cars": [{"id": "taxi", "first": 1, "in_wh": [3], "out_wh": [0]}],
    "batteries": [{"id": "box", "first": 0, "in_wh": [19, 0], "out_wh": [0, 17]}],
    "import_wh": [59, 0],
    "export_wh": [0],
    "local_wh": [6],
    "prices": {
        "grid": [10, 20],
        "groups": [{"id": "transformer", "surcharge": [0, 0]}, {"id": "feeder", "surcharge": [10, 0]}],
        "requests": [{"id": "van", "price": 20}],
        "batteries": [{"id": "box", "stored": [20, 20]}],
        "cars": [{"id": "taxi", "stored": [25]}],
    },
    "objective": "614",
    "gap": "10",
}


def changed(change: Callable[[Document], object], document: Document = PLAN) -> bytes:
    mutant = copy.deepcopy(document)
    change(mutant)
    return json.dumps(mutant).encode()


def put(*path: str | int, value: Any) -> Callable[[Document], object]:
    def change(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def test_a_plan_that_is_right_holds() -> None:
    assert verify_tree(RAW, json.dumps(PLAN).encode()) == Verdict(True)


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        (put("problem_sha256", value="0" * 64), "schedule.other_problem", "problem_sha256"),
        (put("format", value="evmesh.schedule/1"), "document.unknown_format", "format"),
        (put("status", value="optimal"), "schedule.bad_status", "status"),
        (put("gap", value="9.999"), "schedule.gap_differs", "gap"),
        (put("objective", value="613"), "schedule.objective_differs", "objective"),
        (put("rows", value=[]), "schedule.row_missing", "rows"),
        (put("rows", 0, "id", value="car"), "schedule.row_unknown", "rows[0].id"),
        (put("rows", 0, "id", value="taxi"), "schedule.row_unknown", "rows[0].id"),
        (put("rows", value=PLAN["rows"] * 2), "schedule.row_twice", "rows[1].id"),
        (put("rows", 0, "first", value=1), "schedule.outside_horizon", "rows[0].first"),
        (put("rows", 0, "first", value=-1), "schedule.outside_horizon", "rows[0].first"),
        (put("rows", 0, "wh", value=[45, 14]), "schedule.unbalanced", "step 0"),
        (put("cars", value=[]), "schedule.row_missing", "cars"),
        (put("cars", 0, "first", value=0), "schedule.outside_window", "cars[0].first"),
        (put("cars", 0, "in_wh", value=[3, 0]), "schedule.step_count", "cars[0].in_wh"),
        (put("batteries", 0, "out_wh", value=[0]), "schedule.step_count", "batteries[0].out_wh"),
        (put("batteries", 0, "id", value="van"), "schedule.row_unknown", "batteries[0].id"),
        (put("import_wh", value=[59]), "schedule.segment_count", "import_wh"),
        (put("export_wh", value=[]), "schedule.segment_count", "export_wh"),
        (put("local_wh", value=[6, 0]), "schedule.segment_count", "local_wh"),
        (put("prices", "grid", value=[10]), "schedule.step_count", "prices.grid"),
        (
            put("prices", "groups", value=PLAN["prices"]["groups"][:1]),
            "schedule.price_missing",
            "prices.groups",
        ),
        (put("prices", "groups", 1, "surcharge", value=[10]), "schedule.step_count", "prices.groups"),
        (put("prices", "requests", value=[]), "schedule.price_missing", "prices.requests"),
        (put("prices", "batteries", 0, "stored", value=[1]), "schedule.step_count", "prices.batteries"),
        (put("prices", "cars", 0, "id", value="van"), "schedule.price_missing", "prices.cars"),
        (put("prices", "grid", 0, value=11), "schedule.gap_differs", "gap"),
        (put("prices", "requests", 0, "price", value=21), "schedule.gap_differs", "gap"),
    ],
)
def test_what_is_false_is_named(change: Callable[[Document], object], code: str, path: str) -> None:
    assert verify_tree(RAW, changed(change)) == Verdict(False, code, path)


@pytest.mark.parametrize(
    ("rows", "grid", "code", "path"),
    [
        # The feeder's cable carries 41 beside the other 10; it would be cheaper.
        ({"rows": [46 + 1, 13], "box": (19, 17)}, [60, -1], "schedule.over_capacity", "groups[1] in step 0"),
        ({"rows": [51, 9], "box": (19, 17)}, [64, -5], "schedule.over_capacity", "groups[1] in step 0"),
        # A Wh less, or another car's.
        ({"rows": [46, 13], "box": (19, 17)}, [59, -1], "schedule.energy_differs", "requests[0]"),
        # The battery is not faster than 20, and ends with what it had: 19 × 0.9 are not 18.
        ({"rows": [46, 14], "box": (21, 17)}, [61, 0], "schedule.above_max", "batteries[0] in step 0"),
        ({"rows": [46, 14], "box": (19, 18)}, [59, -1], "schedule.store_level", "batteries[0] in step 1"),
        ({"rows": [46, 14], "box": (-1, 17)}, [39, 0], "schedule.above_max", "batteries[0] in step 0"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_false_though_its_sums_are_right(
    rows: dict[str, Any], grid: list[int], code: str, path: str
) -> None:
    mutant = copy.deepcopy(PLAN)
    mutant["rows"][0]["wh"] = rows["rows"]
    into, out = rows["box"]
    mutant["batteries"][0] |= {"in_wh": [into, 0], "out_wh": [0, out]}
    mutant["import_wh"] = [grid[0], max(0, grid[1])]
    mutant["export_wh"] = [max(0, -grid[1])]
    mutant["objective"] = str(10 * grid[0] + 24 - 8 * max(0, -grid[1]))
    assert verify_tree(RAW, json.dumps(mutant).encode()) == Verdict(False, code, path)


def test_a_segment_gives_no_more_than_it_has_and_nothing_below_0() -> None:
    for local, bought in ((7, 58), (-1, 66)):
        mutant = json.loads(changed(put("local_wh", value=[local])))
        mutant["import_wh"] = [bought, 0]
        verdict = verify_tree(RAW, json.dumps(mutant).encode())
        assert verdict == Verdict(False, "schedule.over_supply", "local[0]")


def test_a_car_charges_only_while_it_is_there() -> None:
    problem = copy.deepcopy(PROBLEM)
    problem["requests"][0] |= {"departure": 1, "energy_wh": 46}
    raw = json.dumps(problem).encode()
    mutant = changed(put("problem_sha256", value=hashlib.sha256(raw).hexdigest()))
    assert verify_tree(raw, mutant) == Verdict(False, "schedule.outside_window", "rows[0].wh[1]")


SMALL: Document = {
    "format": "evmesh.problem/2",
    "start": "2026-09-01T06:00:00Z",
    "step_s": 900,
    "steps": 1,
    "groups": [{"id": "cabinet", "capacity_wh": 9}],
    "import": [{"step": 0, "cap_wh": 5, "price": 10}, {"step": 0, "cap_wh": 5, "price": 30}],
    "requests": [
        {"id": "van", "group": "cabinet", "arrival": 0, "departure": 1, "energy_wh": 4, "max_wh": 9}
    ],
}


def small_plan(raw: bytes, **changes: Any) -> bytes:
    prices = {
        "grid": [10], "groups": [{"id": "cabinet", "surcharge": [0]}],
        "requests": [{"id": "van", "price": 10}], "batteries": [], "cars": [],
    }  # fmt: skip
    plan = {
        "format": "evmesh.schedule/2", "problem_sha256": hashlib.sha256(raw).hexdigest(), "status": "optimal",
        "rows": [{"id": "van", "first": 0, "wh": [4]}], "cars": [], "batteries": [], "import_wh": [4, 0],
        "export_wh": [], "local_wh": [], "prices": prices, "objective": "40", "gap": "0",
    }  # fmt: skip
    return json.dumps({**plan, **changes}).encode()


def test_without_losses_a_plan_that_only_bounds_itself_is_not_enough() -> None:
    raw = json.dumps(SMALL).encode()
    assert verify_tree(raw, small_plan(raw)) == Verdict(True)
    dear = {"import_wh": [0, 4], "objective": "120", "gap": "80", "status": "bounded"}
    assert verify_tree(raw, small_plan(raw, **dear)) == Verdict(False, "schedule.not_optimal", "gap")


def refusal(raw: bytes, *, weight: int = 1, deficit: str = "3") -> bytes:
    prices = {
        "grid": [0], "groups": [{"id": "cabinet", "surcharge": [weight]}],
        "requests": [{"id": "van", "price": weight}], "batteries": [], "cars": [],
    }  # fmt: skip
    answer = {
        "format": "evmesh.schedule/2", "problem_sha256": hashlib.sha256(raw).hexdigest(),
        "status": "infeasible", "prices": prices, "deficit": deficit,
    }  # fmt: skip
    return json.dumps(answer).encode()


def test_a_refusal_holds_where_more_must_pass_a_cable_than_it_carries() -> None:
    wish = copy.deepcopy(SMALL)
    wish["requests"][0] |= {"energy_wh": 12, "max_wh": 20}
    raw = json.dumps(wish).encode()
    assert verify_tree(raw, refusal(raw)) == Verdict(True)
    assert verify_tree(raw, refusal(raw, weight=7, deficit="21")) == Verdict(True)
    assert verify_tree(raw, refusal(raw, deficit="4")) == Verdict(False, "refusal.deficit_differs", "deficit")
    assert verify_tree(raw, refusal(raw, weight=0, deficit="0")).code == "refusal.no_deficit"
    fits = json.dumps(SMALL).encode()
    assert verify_tree(fits, refusal(fits)) == Verdict(False, "refusal.no_deficit", "prices")


def test_a_problem_that_cannot_be_read_is_wrong_input_and_an_answer_that_cannot_is_false() -> None:
    with pytest.raises(InvalidInput):
        verify_tree(b"{}", json.dumps(PLAN).encode())
    assert verify_tree(RAW, b"{") == Verdict(False, "document.not_json", "")

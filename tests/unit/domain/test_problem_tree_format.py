"""Reading `evmesh.problem/2`: what is wrong is refused, with the path of the field."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.canonical import canonical_json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.problem_tree_file import parse_tree_problem, write_tree_problem
from evmesh.domain.schedule_tree import parse_tree_schedule, write_thousandths
from tests.unit.planning.tree_strategies import crowded_tree, tree_problems

ROOT = {"id": "transformer", "capacity_wh": 9_000}
FEEDER = {"id": "feeder", "parent": "transformer", "capacity_wh": [4_000, 3_000], "other_wh": [100, -200]}
CABINET = {"id": "cabinet", "parent": "feeder", "capacity_wh": 2_000}
GROUPS = [ROOT, FEEDER, CABINET]
SEGMENT = {"step": 0, "cap_wh": 3_000, "price": 250_000}
BATTERY = {
    "id": "box",
    "group": "feeder",
    "capacity_wh": 5_000,
    "max_in_wh": 1_000,
    "max_out_wh": 1_000,
    "efficiency": 900,
    "stored_wh": 100,
    "final_wh": 100,
}
V2G = {"max_out_wh": 2_000, "efficiency": 880, "stored_wh": 9_000, "least_wh": 8_000, "most_wh": 40_000}
REQUEST = {
    "id": "van", "group": "cabinet", "arrival": 0, "departure": 2, "energy_wh": 1_000, "max_wh": 2_750,
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "format": "evmesh.problem/2",
    "start": "2026-09-01T06:00:00Z",
    "step_s": 900,
    "steps": 2,
    "groups": GROUPS,
    "import": [SEGMENT],
    "export": [SEGMENT],
    "local": [{"group": "cabinet", **SEGMENT}],
    "batteries": [BATTERY],
    "requests": [REQUEST, {**REQUEST, "id": "taxi", "v2g": V2G}],
}
OPTIONAL = {"export", "local", "batteries"}


def read(**changes: Any) -> TreeProblem:
    return parse_tree_problem(json.dumps({**DOCUMENT, **changes}).encode())


@given(st.one_of(tree_problems(), tree_problems(lossy=True)))
def test_what_is_written_reads_back_as_the_same_problem(problem: TreeProblem) -> None:
    written = write_tree_problem(problem)
    assert parse_tree_problem(written) == problem
    assert written == canonical_json(parse_json(written))


def test_a_constant_holds_in_every_step_and_what_is_left_out_is_nothing() -> None:
    problem = read()
    assert [one.capacity_wh for one in problem.groups] == [(9_000, 9_000), (4_000, 3_000), (2_000, 2_000)]
    assert [one.other_wh for one in problem.groups] == [(0, 0), (100, -200), (0, 0)]
    bare = {key: value for key, value in DOCUMENT.items() if key not in OPTIONAL}
    found = parse_tree_problem(json.dumps(bare).encode())
    assert (found.exports, found.local, found.batteries) == ((), (), ())


def test_groups_may_stand_in_any_order() -> None:
    tree = read(groups=[CABINET, FEEDER, ROOT]).tree
    assert tree.parents == (1, 2, None)
    assert tree.downwards == (2, 1, 0)
    assert tree.other_below() == [[0, 0], [100, -200], [100, -200]]


@pytest.mark.parametrize(
    ("groups", "code", "path"),
    [
        ([], "problem.no_root", "groups"),
        ([ROOT, {**ROOT, "id": "other"}], "problem.two_roots", "groups[1].parent"),
        ([*GROUPS, {**CABINET, "id": "x", "parent": "nobody"}], "problem.unknown_group", "groups[3].parent"),
        ([ROOT, {**FEEDER, "parent": "cabinet"}, CABINET], "problem.cycle", "groups[1].parent"),
        ([ROOT, {**FEEDER, "parent": "feeder"}, CABINET], "problem.cycle", "groups[1].parent"),
        ([{**FEEDER, "parent": "cabinet"}, CABINET], "problem.cycle", "groups[0].parent"),
        ([*GROUPS, CABINET], "problem.duplicate_id", "groups[3].id"),
        ([ROOT, {**FEEDER, "id": ""}, CABINET], "problem.bad_id", "groups[1].id"),
        ([ROOT, {**FEEDER, "id": 7}, CABINET], "document.bad_type", "groups[1].id"),
        ([ROOT, {**FEEDER, "parent": None}, CABINET], "document.bad_type", "groups[1].parent"),
        ([ROOT, {**FEEDER, "capacity_wh": -1}, CABINET], "problem.out_of_range", "groups[1].capacity_wh[0]"),
        ([ROOT, {**FEEDER, "capacity_wh": [1]}, CABINET], "problem.step_count", "groups[1].capacity_wh"),
        ([ROOT, {**FEEDER, "capacity_wh": [1, []]}], "document.bad_type", "groups[1].capacity_wh[1]"),
        ([ROOT, {**FEEDER, "capacity_wh": "9"}, CABINET], "document.bad_type", "groups[1].capacity_wh"),
        ([ROOT, {**FEEDER, "other_wh": [1, 2, 3]}, CABINET], "problem.step_count", "groups[1].other_wh"),
        ([ROOT, {**FEEDER, "other_wh": 1.5}, CABINET], "document.not_an_integer", "groups[1].other_wh"),
        ([{**ROOT, "other_wh": 2**31 - 1}, FEEDER, CABINET], "problem.out_of_range", "groups"),
        ([ROOT, {**FEEDER, "colour": 1}, CABINET], "document.unknown_key", "groups[1].colour"),
        ([ROOT, {"id": "feeder", "parent": "transformer"}], "document.missing_key", "groups[1].capacity_wh"),
        ([7], "document.bad_type", "groups[0]"),
    ],
)  # fmt: skip
def test_groups_that_are_no_tree_are_refused(groups: list[Any], code: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(groups=groups)
    assert (refused.value.code, refused.value.path) == (code, path)


def v2g(**changes: Any) -> dict[str, Any]:
    return {"requests": [{**REQUEST, "v2g": {**V2G, **changes}}]}


def battery(**changes: Any) -> dict[str, Any]:
    return {"batteries": [{**BATTERY, **changes}]}


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"format": "evmesh.problem/1"}, "document.unknown_format", "format"),
        ({"start": "2026-09-01"}, "document.bad_time", "start"),
        ({"steps": -1}, "time.too_many_steps", "steps"),
        ({"steps": True}, "document.not_an_integer", "steps"),
        ({"steps": 0}, "problem.step_count", "groups[1].capacity_wh"),
        ({"comment": 1}, "document.unknown_key", "comment"),
        ({"import": {}}, "document.bad_type", "import"),
        ({"import": [{**SEGMENT, "step": 2}]}, "problem.outside_horizon", "import[0].step"),
        ({"import": [SEGMENT, {**SEGMENT, "cap_wh": -1}]}, "problem.out_of_range", "import[1].cap_wh"),
        ({"import": [{**SEGMENT, "price": 10**9 + 1}]}, "problem.out_of_range", "import[0].price"),
        ({"export": [{**SEGMENT, "price": -(10**9) - 1}]}, "problem.out_of_range", "export[0].price"),
        ({"export": [{**SEGMENT, "step": -1}]}, "problem.out_of_range", "export[0].step"),
        ({"import": [{**SEGMENT, "group": "feeder"}]}, "document.unknown_key", "import[0].group"),
        ({"local": [SEGMENT]}, "document.missing_key", "local[0].group"),
        ({"local": [{"group": "x", **SEGMENT}]}, "problem.unknown_group", "local[0].group"),
        ({"local": [{"group": "feeder", **SEGMENT, "cap_wh": None}]}, "document.bad_type", "local[0].cap_wh"),
        (battery(group="x"), "problem.unknown_group", "batteries[0].group"),
        (battery(efficiency=0), "problem.out_of_range", "batteries[0].efficiency"),
        (battery(efficiency=1_001), "problem.out_of_range", "batteries[0].efficiency"),
        (battery(stored_wh=5_001), "problem.out_of_range", "batteries[0].stored_wh"),
        (battery(final_wh=5_001), "problem.out_of_range", "batteries[0].final_wh"),
        (battery(capacity_wh=-1), "problem.out_of_range", "batteries[0].capacity_wh"),
        ({"batteries": [BATTERY, BATTERY]}, "problem.duplicate_id", "batteries[1].id"),
        ({"requests": [REQUEST, REQUEST]}, "problem.duplicate_id", "requests[1].id"),
        ({"requests": [{**REQUEST, "group": "feeder"}]}, "problem.not_a_leaf", "requests[0].group"),
        ({"requests": [{**REQUEST, "group": "x"}]}, "problem.unknown_group", "requests[0].group"),
        ({"requests": [{**REQUEST, "departure": 3}]}, "problem.outside_horizon", "requests[0].departure"),
        ({"requests": [{**REQUEST, "arrival": 2}]}, "problem.empty_window", "requests[0].departure"),
        ({"requests": [{**REQUEST, "v2g": []}]}, "document.bad_type", "requests[0].v2g"),
        (v2g(most_wh=9_999), "problem.beyond_battery", "requests[0].v2g.most_wh"),
        (v2g(least_wh=9_001), "problem.out_of_range", "requests[0].v2g.least_wh"),
        (v2g(stored_wh=40_001), "problem.out_of_range", "requests[0].v2g.stored_wh"),
        (v2g(efficiency=1_001), "problem.out_of_range", "requests[0].v2g.efficiency"),
        (v2g(soc=1), "document.unknown_key", "requests[0].v2g.soc"),
        (v2g(max_out_wh=1.0), "document.not_an_integer", "requests[0].v2g.max_out_wh"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], code: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(**changes)
    assert (refused.value.code, refused.value.path) == (code, path)


def test_each_missing_key_is_named() -> None:
    for key in DOCUMENT.keys() - OPTIONAL:
        with pytest.raises(InvalidInput) as refused:
            parse_tree_problem(
                json.dumps({name: DOCUMENT[name] for name in DOCUMENT if name != key}).encode()
            )
        assert (refused.value.code, refused.value.path) == ("document.missing_key", key)


def test_a_key_that_stands_twice_is_named() -> None:
    text = json.dumps(DOCUMENT).replace('"parent": "feeder"', '"parent": "feeder", "parent": "feeder"')
    with pytest.raises(InvalidInput) as refused:
        parse_tree_problem(text.encode())
    assert (refused.value.code, refused.value.path) == ("document.duplicate_key", "groups[2].parent")


def test_a_file_that_would_fill_the_memory_is_refused_before_it_does() -> None:
    with pytest.raises(InvalidInput, match=r"problem\.too_large"):
        read(steps=100_000, groups=[{"id": f"g{n}", "capacity_wh": 1} for n in range(11)])
    many = [{**BATTERY, "id": str(number)} for number in range(11)]
    with pytest.raises(InvalidInput, match=r"problem\.too_large"):
        read(steps=100_000, groups=[ROOT], batteries=many, local=[], requests=[])


def test_windows_that_would_fill_the_memory_are_refused() -> None:
    groups = [{"id": "cabinet", "capacity_wh": 1}]
    stay = {**REQUEST, "departure": 100_000}
    cars = [{**stay, "id": str(number)} for number in range(101)]
    with pytest.raises(InvalidInput, match=r"problem\.too_large"):
        read(steps=100_000, groups=groups, batteries=[], local=[], requests=cars)


def test_a_battery_needs_a_step() -> None:
    with pytest.raises(InvalidInput, match=r"problem\.empty_window"):
        read(
            steps=0, groups=[{**ROOT, "capacity_wh": []}], **{"import": []}, export=[], local=[], requests=[]
        )


def test_stores_are_the_batteries_and_the_cars_that_give_back() -> None:
    problem = read()
    assert [one.id for one in problem.stores()] == ["box", "taxi"]
    assert not problem.is_lossless()
    assert problem.stores()[1].final_wh == 10_000
    assert crowded_tree(random.Random(1)).is_lossless()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "0.001"),
        (-1, "-0.001"),
        (1_500, "1.5"),
        (-20_000, "-20"),
        (10**43 + 10, f"1{'0' * 40}.01"),
    ],
)
def test_thousandths_are_written_without_trailing_zeros(value: int, text: str) -> None:
    assert write_thousandths(value) == text


SCHEDULE: dict[str, Any] = {
    "format": "evmesh.schedule/2",
    "problem_sha256": "0" * 64,
    "status": "infeasible",
    "prices": {"grid": [0], "groups": [], "requests": [], "batteries": [], "cars": []},
    "deficit": "1.5",
}


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"format": "evmesh.schedule/1"}, "document.unknown_format", "format"),
        ({"problem_sha256": "0" * 63}, "schedule.bad_hash", "problem_sha256"),
        ({"status": "fine"}, "schedule.bad_status", "status"),
        ({"status": "optimal"}, "document.missing_key", "rows"),
        ({"deficit": "1.50"}, "schedule.bad_number", "deficit"),
        ({"deficit": "01"}, "schedule.bad_number", "deficit"),
        ({"deficit": "-0"}, "schedule.bad_number", "deficit"),
        ({"deficit": 1}, "document.bad_type", "deficit"),
        ({"deficit": "1e3"}, "schedule.bad_number", "deficit"),
        ({"rows": []}, "document.unknown_key", "rows"),
        ({"prices": {**SCHEDULE["prices"], "x": 1}}, "document.unknown_key", "prices.x"),
        (
            {
                "prices": {
                    **SCHEDULE["prices"],
                    "requests": [{"id": "a", "price": 1}, {"id": "a", "price": 1}],
                }
            },
            "schedule.row_twice",
            "prices.requests[1].id",
        ),
    ],
)
def test_a_schedule_file_that_cannot_be_read_is_named_by_its_path(
    changes: dict[str, Any], code: str, path: str
) -> None:
    parse_tree_schedule(json.dumps(SCHEDULE).encode())
    with pytest.raises(InvalidInput) as refused:
        parse_tree_schedule(json.dumps({**SCHEDULE, **changes}).encode())
    assert (refused.value.code, refused.value.path) == (code, path)

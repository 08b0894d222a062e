"""Reading and writing `evmesh.problem/2`: strict, with the path of whatever is wrong."""

from collections.abc import Callable
from typing import Any, TypeVar

from evmesh.domain.canonical import Json, canonical_json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.fields import Fields
from evmesh.domain.money import Price
from evmesh.domain.problem import Request, SupplySegment, check_format, parse_rfc3339
from evmesh.domain.problem_tree import (
    TREE_PROBLEM_FORMAT,
    Battery,
    GiveBack,
    LocalSegment,
    TreeProblem,
    TreeRequest,
)
from evmesh.domain.problem_tree_groups import MAX_CELLS, Group
from evmesh.domain.strict import write_instant
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh

_Noun = TypeVar("_Noun")


def parse_tree_problem(raw: bytes) -> TreeProblem:
    """Read `evmesh.problem/2` strictly; raises InvalidInput with the path of the field."""
    fields = Fields(parse_json(raw))
    check_format(fields, TREE_PROBLEM_FORMAT)
    start = parse_rfc3339(fields.text("start"), "start")
    grid = TimeGrid(start, fields.integer("step_s"), fields.integer("steps"))
    groups = _parse_groups(fields, grid.steps)
    imports = _parse_all(fields, "import", _segment)
    requests = _parse_all(fields, "requests", _request)
    exports = _parse_all(fields, "export", _segment) if fields.has("export") else ()
    local = _parse_all(fields, "local", _local) if fields.has("local") else ()
    batteries = _parse_all(fields, "batteries", _battery) if fields.has("batteries") else ()
    fields.done()
    return TreeProblem(grid, groups, imports, requests, exports, local, batteries)


def write_tree_problem(problem: TreeProblem) -> bytes:
    """Write `evmesh.problem/2` as canonical JSON; what may be left out and says nothing is left out."""
    document: Json = {
        "format": TREE_PROBLEM_FORMAT,
        "start": write_instant(problem.grid.start),
        "step_s": problem.grid.step_s,
        "steps": problem.steps,
        "groups": [_write_group(group) for group in problem.groups],
        "import": [_write_segment(one) for one in problem.imports],
        "requests": [_write_request(one) for one in problem.requests],
    }
    if problem.exports:
        document["export"] = [_write_segment(one) for one in problem.exports]
    if problem.local:
        document["local"] = [{"group": one.group, **_write_segment(one.segment)} for one in problem.local]
    if problem.batteries:
        document["batteries"] = [_members(one, Battery) for one in problem.batteries]
    return canonical_json(document)


def _parse_all(fields: Fields, key: str, parse: Callable[[Fields], _Noun]) -> tuple[_Noun, ...]:
    found = []
    for one in fields.objects(key):
        found.append(_placed(one, parse))
        one.done()
    return tuple(found)


def _placed(fields: Fields, parse: Callable[[Fields], _Noun]) -> _Noun:
    """Parse one object; an error that a noun raised about its own field gets the object's path."""
    try:
        return parse(fields)
    except InvalidInput as error:
        inside = fields.path("")
        if not error.path.startswith(inside):
            error.path = inside + error.path
        raise


def _parse_groups(fields: Fields, steps: int) -> tuple[Group, ...]:
    groups = []
    for number, one in enumerate(fields.objects("groups"), 1):
        if number * steps > MAX_CELLS:  # before a constant is written out for every step
            what = f"groups × {steps} steps are more than {MAX_CELLS}"
            raise InvalidInput("problem.too_large", what, path="groups")
        groups.append(_placed(one, lambda one: _group(one, steps)))
        one.done()
    return tuple(groups)


def _group(fields: Fields, steps: int) -> Group:
    return Group(
        id=fields.text("id"),
        parent=fields.text("parent") if fields.has("parent") else None,
        capacity_wh=_vector(fields, "capacity_wh", steps),
        other_wh=_vector(fields, "other_wh", steps) if fields.has("other_wh") else (0,) * steps,
    )


def _vector(fields: Fields, key: str, steps: int) -> tuple[int, ...]:
    """Take an array with a value for each step, or one integer that holds in all of them."""
    found = fields.integer_or_integers(key)
    return (found,) * steps if isinstance(found, int) else found


def _segment(fields: Fields) -> SupplySegment:
    return SupplySegment(fields.integer("step"), Wh(fields.integer("cap_wh")), Price(fields.integer("price")))


def _local(fields: Fields) -> LocalSegment:
    return LocalSegment(fields.text("group"), _segment(fields))


def _battery(fields: Fields) -> Battery:
    return Battery(
        id=fields.text("id"),
        group=fields.text("group"),
        capacity_wh=Wh(fields.integer("capacity_wh")),
        max_in_wh=Wh(fields.integer("max_in_wh")),
        max_out_wh=Wh(fields.integer("max_out_wh")),
        efficiency=fields.integer("efficiency"),
        stored_wh=Wh(fields.integer("stored_wh")),
        final_wh=Wh(fields.integer("final_wh")),
    )


def _request(fields: Fields) -> TreeRequest:
    group = fields.text("group")
    car = Request(
        fields.text("id"),
        fields.integer("arrival"),
        fields.integer("departure"),
        Wh(fields.integer("energy_wh")),
        Wh(fields.integer("max_wh")),
    )
    if not fields.has("v2g"):
        return TreeRequest(group, car)
    inner = fields.object("v2g")
    v2g = _placed(inner, _give_back)
    inner.done()
    return TreeRequest(group, car, v2g)


def _give_back(fields: Fields) -> GiveBack:
    return GiveBack(
        max_out_wh=Wh(fields.integer("max_out_wh")),
        efficiency=fields.integer("efficiency"),
        stored_wh=Wh(fields.integer("stored_wh")),
        least_wh=Wh(fields.integer("least_wh")),
        most_wh=Wh(fields.integer("most_wh")),
    )


def _write_group(group: Group) -> Json:
    document: Json = {"id": group.id, "capacity_wh": _shortest(group.capacity_wh)}
    if group.parent is not None:
        document["parent"] = group.parent
    if any(group.other_wh):
        document["other_wh"] = _shortest(group.other_wh)
    return document


def _shortest(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else list(values)


def _write_segment(segment: SupplySegment) -> Json:
    return {"step": segment.step, "cap_wh": segment.cap_wh, "price": segment.price}


def _write_request(request: TreeRequest) -> Json:
    document = {"group": request.group, **_members(request.car, Request)}
    if request.v2g is not None:
        document["v2g"] = _members(request.v2g, GiveBack)
    return document


def _members(noun: Any, kind: type) -> Json:
    """Give the members of a noun whose names in the file are those in the code."""
    return {name: getattr(noun, name) for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]

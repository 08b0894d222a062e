"""Reading `evmesh.problem/1`: what is wrong is refused, with the path of the field."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from evmesh.domain.canonical import canonical_json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import Problem, Request, parse_problem, write_problem
from evmesh.domain.units import Wh
from tests.unit.planning.strategies import problems

SUPPLY = {"step": 0, "cap_wh": 3_000, "price": 250_000}
REQUEST = {"id": "van", "arrival": 0, "departure": 2, "energy_wh": 1_000, "max_wh": 2_750}
DOCUMENT: dict[str, Any] = {
    "format": "evmesh.problem/1",
    "start": "2026-09-01T06:00:00Z",
    "step_s": 900,
    "steps": 2,
    "supply": [SUPPLY],
    "requests": [REQUEST],
}


def read(**changes: Any) -> Problem:
    return parse_problem(json.dumps({**DOCUMENT, **changes}).encode())


@given(problems())
def test_what_is_written_reads_back_as_the_same_problem(problem: Problem) -> None:
    assert parse_problem(write_problem(problem)) == problem


@given(problems())
def test_what_is_written_is_canonical_json(problem: Problem) -> None:
    written = write_problem(problem)
    assert written == canonical_json(parse_json(written))


@pytest.mark.parametrize("request_id", ['say "when"', "back\\slash", "Ångström/€", "\U0001f697", "</script>"])
def test_an_id_with_any_printable_character_is_written_canonically(request_id: str) -> None:
    written = write_problem(read(requests=[{**REQUEST, "id": request_id}]))
    assert written == canonical_json(parse_json(written))
    assert parse_problem(written).requests[0].id == request_id


@pytest.mark.parametrize(
    "start", ["2026-09-01T06:00:00Z", "2026-09-01t08:00:00.000+02:00", "2026-09-01T06:00:00z"]
)
def test_any_rfc_3339_spelling_of_the_start_is_read_and_utc_is_written(start: str) -> None:
    problem = read(start=start)
    assert problem.grid.start == datetime(2026, 9, 1, 6, tzinfo=UTC)
    assert b'"start":"2026-09-01T06:00:00Z"' in write_problem(problem)


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"format": "evmesh.problem/3"}, "document.unknown_format", "format"),
        ({"format": 1}, "document.bad_type", "format"),
        ({"start": "2026-09-01"}, "document.bad_time", "start"),
        ({"start": "2026-09-01T06:00:00"}, "document.bad_time", "start"),
        ({"start": "2026-09-01T06:00:00.5Z"}, "document.bad_time", "start"),
        ({"start": "2026-02-30T06:00:00Z"}, "document.bad_time", "start"),
        ({"start": "0001-01-01T00:00:00+01:00"}, "document.bad_time", "start"),
        ({"step_s": 0}, "time.bad_step", "step_s"),
        ({"steps": -1}, "time.too_many_steps", "steps"),
        ({"steps": 2**31 - 1}, "time.too_many_steps", "steps"),
        ({"steps": 2.0}, "document.not_an_integer", "steps"),
        ({"steps": True}, "document.not_an_integer", "steps"),
        ({"steps": "2"}, "document.bad_type", "steps"),
        ({"supply": {}}, "document.bad_type", "supply"),
        ({"supply": [1]}, "document.bad_type", "supply[0]"),
        ({"supply": [{**SUPPLY, "step": 2}]}, "problem.outside_horizon", "supply[0].step"),
        ({"supply": [{**SUPPLY, "step": -1}]}, "problem.out_of_range", "supply[0].step"),
        ({"supply": [SUPPLY, {**SUPPLY, "cap_wh": -1}]}, "problem.out_of_range", "supply[1].cap_wh"),
        ({"supply": [{**SUPPLY, "price": 2**31}]}, "document.number_too_large", "supply[0].price"),
        ({"supply": [{**SUPPLY, "prise": 1}]}, "document.unknown_key", "supply[0].prise"),
        ({"requests": [{"id": "van"}]}, "document.missing_key", "requests[0].arrival"),
        ({"requests": [{**REQUEST, "id": ""}]}, "problem.bad_id", "requests[0].id"),
        ({"requests": [{**REQUEST, "id": "a\nb"}]}, "problem.bad_id", "requests[0].id"),
        ({"requests": [{**REQUEST, "id": "x" * 129}]}, "problem.bad_id", "requests[0].id"),
        ({"requests": [{**REQUEST, "id": 7}]}, "document.bad_type", "requests[0].id"),
        ({"requests": [REQUEST, REQUEST]}, "problem.duplicate_id", "requests[1].id"),
        ({"requests": [{**REQUEST, "departure": 0}]}, "problem.empty_window", "requests[0].departure"),
        ({"requests": [{**REQUEST, "arrival": 3}]}, "problem.empty_window", "requests[0].departure"),
        ({"requests": [{**REQUEST, "departure": 3}]}, "problem.outside_horizon", "requests[0].departure"),
        ({"requests": [{**REQUEST, "arrival": -1}]}, "problem.out_of_range", "requests[0].arrival"),
        ({"requests": [{**REQUEST, "energy_wh": -1}]}, "problem.out_of_range", "requests[0].energy_wh"),
        ({"requests": [{**REQUEST, "energy_wh": 1.5}]}, "document.not_an_integer", "requests[0].energy_wh"),
        ({"requests": [{**REQUEST, "max_wh": None}]}, "document.bad_type", "requests[0].max_wh"),
        ({"comment": "hand-made"}, "document.unknown_key", "comment"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], code: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(**changes)
    assert (refused.value.code, refused.value.path) == (code, path)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ('{"format":"evmesh.problem/1","steps":1,"steps":2}', "document.duplicate_key", "steps"),
        ('{"a":[{"b":1},{"b":1,"b":2}]}', "document.duplicate_key", "a[1].b"),
        ('{"requests":[{"energy_wh":NaN}]}', "document.not_an_integer", "requests[0].energy_wh"),
        ('{"requests":[{"energy_wh":1e3}]}', "document.not_an_integer", "requests[0].energy_wh"),
        (
            '{"requests":[{"energy_wh":' + "9" * 5_000 + "}]}",
            "document.number_too_large",
            "requests[0].energy_wh",
        ),
        ('{"a":' + "[" * 5_000 + "]" * 5_000 + "}", "document.too_deep", ""),
        ('{"format":"evmesh.pro', "document.not_json", ""),
        ("[]", "document.not_an_object", ""),
        ("", "document.not_json", ""),
    ],
)
def test_a_broken_file_is_refused_with_the_path_where_there_is_one(text: str, code: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_problem(text.encode())
    assert (refused.value.code, refused.value.path) == (code, path)


def test_each_missing_key_is_named() -> None:
    for key in DOCUMENT:
        with pytest.raises(InvalidInput) as refused:
            parse_problem(json.dumps({name: DOCUMENT[name] for name in DOCUMENT if name != key}).encode())
        assert (refused.value.code, refused.value.path) == ("document.missing_key", key)


def test_a_problem_made_in_the_program_is_held_to_the_same_rules() -> None:
    problem = read()
    with pytest.raises(InvalidInput, match=r"problem\.duplicate_id"):
        problem.with_requests([*problem.requests, replace(problem.requests[0], energy_wh=Wh(1))])
    with pytest.raises(InvalidInput, match=r"document\.bad_type"):
        Request("van", 0, 2, Wh(True), Wh(1))
    assert problem.without("van").requests == ()

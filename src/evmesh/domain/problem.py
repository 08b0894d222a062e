"""A planning problem: the file format `evmesh.problem/1` and its nouns.

Deliver every request's energy inside its window of steps, at least cost, within the supply of
each step. Times are steps of one grid, energies whole Wh, prices whole micro-currency per kWh.
People write these files by hand, so any JSON encoding is read; we write canonical JSON.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from evmesh.domain.canonical import MAX_DOCUMENT_INT, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.fields import Fields
from evmesh.domain.money import Price
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh

PROBLEM_FORMAT = "evmesh.problem/1"
MAX_ID_LENGTH = 128

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.0+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class SupplySegment:
    """Up to `cap_wh` of energy in one step at one price, which may be negative.

    A step has any number of segments: PV surplus and each tariff block of the grid is one.
    """

    step: int
    cap_wh: Wh
    price: Price

    def __post_init__(self) -> None:
        _check_range(self.step, 0, "step")
        _check_range(self.cap_wh, 0, "cap_wh")
        _check_range(self.price, -MAX_DOCUMENT_INT, "price")


@dataclass(frozen=True, slots=True)
class Request:
    """One car: `energy_wh` in all, at most `max_wh` in each step of [arrival, departure)."""

    id: str
    arrival: int
    departure: int
    energy_wh: Wh
    max_wh: Wh

    def __post_init__(self) -> None:
        if type(self.id) is not str or not 1 <= len(self.id) <= MAX_ID_LENGTH or not self.id.isprintable():
            raise InvalidInput(
                "problem.bad_id", f"an id has 1 to {MAX_ID_LENGTH} printable characters", path="id"
            )
        _check_range(self.arrival, 0, "arrival")
        _check_range(self.departure, 0, "departure")
        if self.arrival >= self.departure:
            raise InvalidInput(
                "problem.empty_window",
                f"departure {self.departure} is not after arrival {self.arrival}",
                do="departure is the step after the last one in which the car is there",
                path="departure",
            )
        _check_range(self.energy_wh, 0, "energy_wh")
        _check_range(self.max_wh, 0, "max_wh")

    @property
    def window_steps(self) -> int:
        """How many steps the car is there."""
        return self.departure - self.arrival


class Shape(Protocol):
    """What the supply goes through on its way to the requests (`problem_shape.py`)."""

    def write(self, problem: "Problem") -> bytes:
        """Write the problem's file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A grid of steps, the supply in each, and the requests to be served.

    Without a shape every request can have all of a step's supply, and the file is `evmesh.problem/1`.
    """

    grid: TimeGrid
    supply: tuple[SupplySegment, ...]
    requests: tuple[Request, ...]
    shape: Shape | None = None

    def __post_init__(self) -> None:
        for number, segment in enumerate(self.supply):
            if segment.step >= self.steps:
                raise _outside(segment.step, self.steps, f"supply[{number}].step")
        seen: set[str] = set()
        for number, request in enumerate(self.requests):
            if request.departure > self.steps:
                raise _outside(request.departure, self.steps, f"requests[{number}].departure")
            if request.id in seen:
                raise InvalidInput(
                    "problem.duplicate_id",
                    f"the id {request.id!r} stands twice",
                    path=f"requests[{number}].id",
                )
            seen.add(request.id)

    @property
    def steps(self) -> int:
        """How many steps the horizon has."""
        return self.grid.steps

    def capacities(self) -> list[int]:
        """Give the Wh that all segments of each step hold together. Shape: [step]."""
        total = [0] * self.steps
        for segment in self.supply:
            total[segment.step] += segment.cap_wh
        return total

    def segments_by_step(self) -> list[list[SupplySegment]]:
        """Give each step's segments, cheapest first. Shape: [step][segment]."""
        by_step: list[list[SupplySegment]] = [[] for _ in range(self.steps)]
        for segment in sorted(self.supply, key=lambda one: one.price):
            by_step[segment.step].append(segment)
        return by_step

    def request(self, request_id: str) -> Request:
        """Find a request; raises InvalidInput `problem.unknown_id`."""
        for request in self.requests:
            if request.id == request_id:
                return request
        raise InvalidInput("problem.unknown_id", f"no request has the id {request_id!r}")

    def with_requests(self, requests: Iterable[Request]) -> "Problem":
        """Give the same supply with other requests."""
        return replace(self, requests=tuple(requests))

    def without(self, request_id: str) -> "Problem":
        """Give the problem as it is when one request was never made."""
        return self.with_requests(one for one in self.requests if one.id != request_id)


def problem_sha256(raw: bytes) -> str:
    """Give the hash that a schedule names its problem by: over the file's bytes as they are."""
    return hashlib.sha256(raw).hexdigest()


def parse_problem(raw: bytes) -> Problem:
    """Read `evmesh.problem/1` strictly; raises InvalidInput with the path of the field."""
    fields = Fields(parse_json(raw))
    check_format(fields, PROBLEM_FORMAT)
    start = parse_rfc3339(fields.text("start"), "start")
    grid = TimeGrid(start, fields.integer("step_s"), fields.integer("steps"))
    supply = tuple(_parse_segment(one) for one in fields.objects("supply"))
    requests = tuple(_parse_request(one) for one in fields.objects("requests"))
    fields.done()
    return Problem(grid, supply, requests)


def write_problem(problem: Problem) -> bytes:
    """Write `evmesh.problem/1` as canonical JSON, or what the problem's shape says.

    Written out here, keys in their order, since every answer hashes its problem: the general writer
    takes ten times as long, most of it for checks that the nouns above have made already.
    """
    if problem.shape is not None:
        return problem.shape.write(problem)
    supply = ",".join(
        f'{{"cap_wh":{one.cap_wh},"price":{one.price},"step":{one.step}}}' for one in problem.supply
    )
    requests = ",".join(
        f'{{"arrival":{one.arrival},"departure":{one.departure},"energy_wh":{one.energy_wh}'
        f',"id":{json.dumps(one.id, ensure_ascii=False)},"max_wh":{one.max_wh}}}'
        for one in problem.requests
    )
    start = problem.grid.start.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
    return (
        f'{{"format":"{PROBLEM_FORMAT}","requests":[{requests}],"start":"{start}"'
        f',"step_s":{problem.grid.step_s},"steps":{problem.grid.steps},"supply":[{supply}]}}'
    ).encode()


def parse_rfc3339(text: str, path: str) -> datetime:
    """Read an instant with its offset, in whole seconds, as aware UTC."""
    if not _RFC3339.fullmatch(text):
        raise InvalidInput(
            "document.bad_time",
            f"{text!r} is not an RFC 3339 time in whole seconds",
            do="write it with its offset, for example 2026-09-01T06:00:00Z",
            path=path,
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("document.bad_time", f"{text!r}: {error}", path=path) from error


def check_format(fields: Fields, expected: str) -> None:
    """Refuse a document of another kind or version before its fields are looked at."""
    found = fields.text("format")
    if found != expected:
        raise InvalidInput(
            "document.unknown_format", f"the format is {found!r}, not {expected!r}", path="format"
        )


def _parse_segment(fields: Fields) -> SupplySegment:
    try:
        segment = SupplySegment(
            fields.integer("step"), Wh(fields.integer("cap_wh")), Price(fields.integer("price"))
        )
    except InvalidInput as error:
        raise _placed(error, fields) from error
    fields.done()
    return segment


def _parse_request(fields: Fields) -> Request:
    try:
        request = Request(
            fields.text("id"),
            fields.integer("arrival"),
            fields.integer("departure"),
            Wh(fields.integer("energy_wh")),
            Wh(fields.integer("max_wh")),
        )
    except InvalidInput as error:
        raise _placed(error, fields) from error
    fields.done()
    return request


def _placed(error: InvalidInput, fields: Fields) -> InvalidInput:
    path = error.path if "[" in error.path else fields.path(error.path)
    return InvalidInput(error.code, error.what, do=error.do, path=path)


def _check_range(value: int, least: int, name: str) -> None:
    if type(value) is not int:
        raise InvalidInput("document.bad_type", f"{name} must be an integer, not {value!r}", path=name)
    if not least <= value <= MAX_DOCUMENT_INT:
        raise InvalidInput(
            "problem.out_of_range", f"{name} is {value}, not {least} to {MAX_DOCUMENT_INT}", path=name
        )


def _outside(step: int, steps: int, path: str) -> InvalidInput:
    return InvalidInput(
        "problem.outside_horizon", f"step {step} is outside the {steps} steps of the horizon", path=path
    )

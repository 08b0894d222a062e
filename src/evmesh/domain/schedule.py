"""The answer to a planning problem: the file format `evmesh.schedule/1` and its two forms.

An optimal schedule carries one price per step, a refusal carries a set of steps; either is enough
for anybody to check the answer (`verify/schedule.py`) without planning anew. Reading checks the
form only: whether the numbers are true is for the checker to say.
"""

import re
from dataclasses import dataclass

from evmesh.domain.canonical import Json, canonical_json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.fields import Fields
from evmesh.domain.money import Price
from evmesh.domain.problem import check_format
from evmesh.domain.units import Wh

SCHEDULE_FORMAT = "evmesh.schedule/1"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """What one request gets: `wh[k]` in step `first + k`, and 0 in every other step."""

    id: str
    first: int
    wh: tuple[int, ...]

    @property
    def end(self) -> int:
        """One past the last step of the row."""
        return self.first + len(self.wh)

    @property
    def total_wh(self) -> Wh:
        """The energy of the whole row."""
        return Wh(sum(self.wh))

    def at(self, step: int) -> Wh:
        """Give the energy of one step of the horizon."""
        return Wh(self.wh[step - self.first] if self.first <= step < self.end else 0)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A yes: one row per request, and the certificate that no schedule costs less.

    `step_price` [step] is λ, micro-currency per kWh. `objective` is Σ Wh × segment price,
    undivided, so a thousandth of a micro-currency; it passes 2^63 in theory and is a Python int.
    """

    problem_sha256: str
    rows: tuple[ScheduleRow, ...]
    step_price: tuple[Price, ...]
    objective: int
    raw: bytes | None = None
    """The file, where this is the view of one of another format (`problem_shape.py`)."""

    def row(self, request_id: str) -> ScheduleRow:
        """Find a request's row; raises InvalidInput `schedule.unknown_id`."""
        for row in self.rows:
            if row.id == request_id:
                return row
        raise InvalidInput("schedule.unknown_id", f"no row has the id {request_id!r}")

    def loads(self) -> list[int]:
        """Give the Wh of all rows together. Shape: [step]."""
        total = [0] * len(self.step_price)
        for row in self.rows:
            for step, wh in enumerate(row.wh, row.first):
                total[step] += wh
        return total


@dataclass(frozen=True, slots=True, order=True)
class Offer:
    """What would be accepted instead: this much energy, by this departure (one past the last step)."""

    departure: int
    energy_wh: Wh


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no: the energy that must fall into `steps` exceeds what they can supply by `deficit_wh`.

    `offers` is None where nobody asked which smaller wish would fit.
    """

    problem_sha256: str
    steps: tuple[int, ...]
    deficit_wh: Wh
    offers: tuple[Offer, ...] | None = None
    raw: bytes | None = None
    """The file, where this is the view of one of another format (`problem_shape.py`)."""


def parse_schedule(raw: bytes) -> Schedule | Refusal:
    """Read either form of `evmesh.schedule/1`; raises InvalidInput with the path of the field."""
    fields = Fields(parse_json(raw))
    check_format(fields, SCHEDULE_FORMAT)
    sha256 = fields.text("problem_sha256")
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput("schedule.bad_hash", "not 64 lower-case hex digits", path="problem_sha256")
    status = fields.text("status")
    answer: Schedule | Refusal
    if status == "optimal":
        answer = _parse_optimal(fields, sha256)
    elif status == "infeasible":
        answer = _parse_infeasible(fields, sha256)
    else:
        raise InvalidInput("schedule.bad_status", f"{status!r} is not optimal or infeasible", path="status")
    fields.done()
    return answer


def write_schedule(answer: Schedule | Refusal) -> bytes:
    """Write `evmesh.schedule/1` as canonical JSON, or the file of which this is a view."""
    if answer.raw is not None:
        return answer.raw
    document: Json = {"format": SCHEDULE_FORMAT, "problem_sha256": answer.problem_sha256}
    if isinstance(answer, Schedule):
        document["status"] = "optimal"
        document["rows"] = [{"id": row.id, "first": row.first, "wh": list(row.wh)} for row in answer.rows]
        document["step_price"] = list(answer.step_price)
        document["objective"] = str(answer.objective)
    else:
        document["status"] = "infeasible"
        document["steps"] = list(answer.steps)
        document["deficit_wh"] = answer.deficit_wh
        if answer.offers is not None:
            document["offers"] = write_offers(answer.offers)
    return canonical_json(document)


def _parse_optimal(fields: Fields, sha256: str) -> Schedule:
    rows = []
    for one in fields.objects("rows"):
        rows.append(ScheduleRow(one.text("id"), one.integer("first"), one.integers("wh")))
        one.done()
    prices = tuple(Price(price) for price in fields.integers("step_price"))
    objective = fields.text("objective")
    if not _DECIMAL.fullmatch(objective):
        raise InvalidInput("schedule.bad_objective", "not a decimal integer", path="objective")
    return Schedule(sha256, tuple(rows), prices, int(objective))


def _parse_infeasible(fields: Fields, sha256: str) -> Refusal:
    steps = fields.integers("steps")
    deficit = Wh(fields.integer("deficit_wh"))
    return Refusal(sha256, steps, deficit, parse_offers(fields))


def parse_offers(fields: Fields) -> tuple[Offer, ...] | None:
    """Read a refusal's `offers`; None where there is no such member."""
    if not fields.has("offers"):
        return None
    found = []
    for one in fields.objects("offers"):
        found.append(Offer(energy_wh=Wh(one.integer("energy_wh")), departure=one.integer("departure")))
        one.done()
    return tuple(found)


def write_offers(offers: tuple[Offer, ...]) -> list[Json]:
    """Give a refusal's `offers` for its file."""
    return [{"energy_wh": offer.energy_wh, "departure": offer.departure} for offer in offers]

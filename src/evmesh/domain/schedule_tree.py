"""The answer to a problem over a tree of groups: `evmesh.schedule/2`, a plan or a refusal.

Both carry prices, and the prices are the proof (`verify/tree.py`): no plan can cost less than what
they bound it by; or, for a refusal, nothing that exists could meet what must be delivered. Reading
checks the form only.
"""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass

from evmesh.domain.canonical import Json, canonical_json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.fields import Fields
from evmesh.domain.problem import check_format
from evmesh.domain.schedule import Offer, ScheduleRow, parse_offers, write_offers

TREE_SCHEDULE_FORMAT = "evmesh.schedule/2"
OPTIMAL, BOUNDED, INFEASIBLE = "optimal", "bounded", "infeasible"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_THOUSANDTHS = re.compile(r"(-?)(0|[1-9][0-9]{0,39})(?:\.([0-9]{0,2}[1-9]))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoreRow:
    """What a store takes and gives: `in_wh[k]` and `out_wh[k]` in step `first + k`, in all its steps."""

    id: str
    first: int
    in_wh: tuple[int, ...]
    out_wh: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a kWh is worth where and when, in micro-currency.

    `grid` [step] above the root; `surcharges` {group: [step]} is what each cable adds for what hangs
    below it, so that a price at a group is the sum along its path; `requests` {id: price} what the last
    kWh of a request costs; `batteries` and `cars` {id: [step of the store]} what a kWh is worth that
    the store can still give back.
    """

    grid: tuple[int, ...]
    surcharges: dict[str, tuple[int, ...]]
    requests: dict[str, int]
    batteries: dict[str, tuple[int, ...]]
    cars: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TreePlan:
    """A yes: who gets what, from where, and prices that bound the cost of every other plan.

    `used` of a supply list is what is taken of each segment, in the order of the problem. `objective`
    is Σ Wh × price undivided; `bound_thousandths` a thousand times what no plan can cost less than.
    """

    problem_sha256: str
    rows: tuple[ScheduleRow, ...]
    cars: tuple[StoreRow, ...]
    batteries: tuple[StoreRow, ...]
    import_wh: tuple[int, ...]
    export_wh: tuple[int, ...]
    local_wh: tuple[int, ...]
    prices: Prices
    objective: int
    bound_thousandths: int

    @property
    def gap_thousandths(self) -> int:
        """A thousand times what another plan could cost less at most; 0 where none costs less."""
        return 1_000 * self.objective - self.bound_thousandths

    @property
    def status(self) -> str:
        """`optimal` where no plan costs less, else `bounded`."""
        return BOUNDED if self.gap_thousandths else OPTIMAL


@dataclass(frozen=True, slots=True)
class TreeRefusal:
    """A no: at these prices what must be delivered is worth more than anybody could bring."""

    problem_sha256: str
    prices: Prices
    deficit_thousandths: int
    offers: tuple[Offer, ...] | None = None
    """What would fit for the candidate that was named; None where nobody asked."""


def parse_tree_schedule(raw: bytes) -> TreePlan | TreeRefusal:
    """Read either form of `evmesh.schedule/2`; raises InvalidInput with the path of the field."""
    fields = Fields(parse_json(raw))
    check_format(fields, TREE_SCHEDULE_FORMAT)
    sha256 = fields.text("problem_sha256")
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput("schedule.bad_hash", "not 64 lower-case hex digits", path="problem_sha256")
    status = fields.text("status")
    if status not in (OPTIMAL, BOUNDED, INFEASIBLE):
        what = f"{status!r} is not {OPTIMAL}, {BOUNDED} or {INFEASIBLE}"
        raise InvalidInput("schedule.bad_status", what, path="status")
    prices = _parse_prices(fields.object("prices"))
    answer: TreePlan | TreeRefusal
    if status == INFEASIBLE:
        answer = TreeRefusal(sha256, prices, _thousandths(fields, "deficit"), parse_offers(fields))
    else:
        answer = _parse_plan(fields, sha256, prices, status)
    fields.done()
    return answer


def write_tree_schedule(answer: TreePlan | TreeRefusal) -> bytes:
    """Write `evmesh.schedule/2` as canonical JSON."""
    document: Json = {
        "format": TREE_SCHEDULE_FORMAT,
        "problem_sha256": answer.problem_sha256,
        "prices": _write_prices(answer.prices),
    }
    if isinstance(answer, TreeRefusal):
        document |= {"status": INFEASIBLE, "deficit": write_thousandths(answer.deficit_thousandths)}
        if answer.offers is not None:
            document["offers"] = write_offers(answer.offers)
        return canonical_json(document)
    document |= {
        "status": answer.status,
        "rows": [{"id": row.id, "first": row.first, "wh": list(row.wh)} for row in answer.rows],
        "cars": _write_stores(answer.cars),
        "batteries": _write_stores(answer.batteries),
        "import_wh": list(answer.import_wh),
        "export_wh": list(answer.export_wh),
        "local_wh": list(answer.local_wh),
        "objective": str(answer.objective),
        "gap": write_thousandths(answer.gap_thousandths),
    }
    return canonical_json(document)


def write_thousandths(value: int) -> str:
    """Write a number of thousandths as a decimal string without trailing zeros."""
    whole, part = divmod(abs(value), 1_000)
    text = f"{whole}.{part:03}".rstrip("0") if part else str(whole)
    return f"-{text}" if value < 0 else text


def _thousandths(fields: Fields, key: str) -> int:
    found = _THOUSANDTHS.fullmatch(fields.text(key))
    if not found or found[0] == "-0":
        what = "not a decimal number with at most three decimals"
        raise InvalidInput("schedule.bad_number", what, path=fields.path(key))
    value = int(found[2]) * 1_000 + int((found[3] or "").ljust(3, "0"))
    return -value if found[1] else value


def _parse_plan(fields: Fields, sha256: str, prices: Prices, status: str) -> TreePlan:
    rows = []
    for one in fields.objects("rows"):
        rows.append(ScheduleRow(one.text("id"), one.integer("first"), one.integers("wh")))
        one.done()
    objective, gap = _thousandths(fields, "objective"), _thousandths(fields, "gap")
    if objective % 1_000:
        raise InvalidInput("schedule.bad_number", "the objective is a whole number", path="objective")
    plan = TreePlan(
        problem_sha256=sha256,
        rows=tuple(rows),
        cars=_parse_stores(fields, "cars"),
        batteries=_parse_stores(fields, "batteries"),
        import_wh=fields.integers("import_wh"),
        export_wh=fields.integers("export_wh"),
        local_wh=fields.integers("local_wh"),
        prices=prices,
        objective=objective // 1_000,
        bound_thousandths=objective - gap,
    )
    if plan.status != status:
        raise InvalidInput("schedule.bad_status", f"{status} with a gap of {gap} thousandths", path="status")
    return plan


def _parse_stores(fields: Fields, key: str) -> tuple[StoreRow, ...]:
    found = []
    for one in fields.objects(key):
        row = StoreRow(one.text("id"), one.integer("first"), one.integers("in_wh"), one.integers("out_wh"))
        found.append(row)
        one.done()
    return tuple(found)


def _write_stores(rows: Iterable[StoreRow]) -> list[Json]:
    return [
        {"id": row.id, "first": row.first, "in_wh": list(row.in_wh), "out_wh": list(row.out_wh)}
        for row in rows
    ]


def _parse_prices(fields: Fields) -> Prices:
    requests: dict[str, int] = {}
    for one in fields.objects("requests"):
        name = _new_id(one, requests)
        requests[name] = one.integer("price")
        one.done()
    prices = Prices(
        grid=fields.integers("grid"),
        surcharges=_parse_vectors(fields, "groups", "surcharge"),
        requests=requests,
        batteries=_parse_vectors(fields, "batteries", "stored"),
        cars=_parse_vectors(fields, "cars", "stored"),
    )
    fields.done()
    return prices


def _write_prices(prices: Prices) -> Json:
    return {
        "grid": list(prices.grid),
        "groups": [{"id": name, "surcharge": list(row)} for name, row in prices.surcharges.items()],
        "requests": [{"id": name, "price": price} for name, price in prices.requests.items()],
        "batteries": [{"id": name, "stored": list(row)} for name, row in prices.batteries.items()],
        "cars": [{"id": name, "stored": list(row)} for name, row in prices.cars.items()],
    }


def _parse_vectors(fields: Fields, key: str, member: str) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for one in fields.objects(key):
        name = _new_id(one, found)
        found[name] = one.integers(member)
        one.done()
    return found


def _new_id(fields: Fields, found: Container[str]) -> str:
    name = fields.text("id")
    if name in found:
        raise InvalidInput("schedule.row_twice", f"the id {name!r} stands twice", path=fields.path("id"))
    return name

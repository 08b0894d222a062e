"""What is kept so that anybody can check it later: leaves, plans, refusals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from evmesh.domain.ids import Address
from evmesh.domain.units import Wh


@dataclass(frozen=True, slots=True)
class NotaryLeaf:
    """One signed reading in the meter stream; `index` counts from 0 over all meters."""

    index: int
    meter: str
    seq: int
    salt: bytes
    prev_hash: bytes
    payload: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A schedule that is in force, as the very bytes that were hashed."""

    problem_sha256: str
    schedule_sha256: str
    group: str
    made_at: datetime
    start: datetime
    """Where the first step begins."""
    problem: bytes
    schedule: bytes
    pseudonyms: Mapping[str, str]
    """Session id → id in the published problem."""
    wanted: bytes | None = None
    """Where not everything fits: the problem with all that was promised, of which `problem` has less."""
    shortfall: bytes | None = None
    """The refusal of `wanted`: its deficit is what `problem` has less, so nothing less can be had."""

    def part(self, name: str) -> bytes | None:
        """Give one of its files by the name under which it is published; None where it has none."""
        files = {
            "problem": self.problem,
            "schedule": self.schedule,
            "wanted": self.wanted,
            "shortfall": self.shortfall,
        }
        return files.get(name)


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """A request that did not fit: the certificate of the no, and what would have been accepted."""

    at: datetime
    asset: int
    payer: Address
    nonce: bytes
    """Of the request: the same request again gets the same refusal."""
    energy: Wh
    departure: datetime
    code: str
    steps: tuple[int, ...]
    begins: datetime | None
    ends: datetime | None
    """From the first of these steps to the last; None where the energy exceeds its own window."""
    deficit: Wh
    offers: tuple[tuple[Wh, datetime], ...]
    problem: bytes
    schedule: bytes
    """The files that prove it: `evmesh.problem/1` with the request, and its refusal."""
    number: int = 0
    """Given by the store."""

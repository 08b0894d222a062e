"""What a receipt says where a cap took promised energy: how much, by which plan, and where its proof is."""

from dataclasses import dataclass
from typing import Self

from evmesh.domain.canonical import Json
from evmesh.domain.strict import StrictFields, write_bytes
from evmesh.domain.units import Wh


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The last plan that left out some of this charge, by the hashes of its four files.

    `wanted_sha256` is of the problem with all that was promised to the group at that time, and
    `refusal_sha256` of that problem's refusal: no less could be left out in all. `missing_wh` is what
    that plan leaves out for this charge.
    """

    problem_sha256: bytes
    schedule_sha256: bytes
    wanted_sha256: bytes
    refusal_sha256: bytes
    missing_wh: Wh

    def to_json(self) -> Json:
        return {
            "problem_sha256": write_bytes(self.problem_sha256),
            "schedule_sha256": write_bytes(self.schedule_sha256),
            "wanted_sha256": write_bytes(self.wanted_sha256),
            "refusal_sha256": write_bytes(self.refusal_sha256),
            "missing_wh": self.missing_wh,
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        shortfall = cls(
            problem_sha256=members.bytes_of("problem_sha256", 32),
            schedule_sha256=members.bytes_of("schedule_sha256", 32),
            wanted_sha256=members.bytes_of("wanted_sha256", 32),
            refusal_sha256=members.bytes_of("refusal_sha256", 32),
            missing_wh=Wh(members.integer("missing_wh", 1)),
        )
        members.done()
        return shortfall

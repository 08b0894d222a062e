"""The trust file, `evmesh.trust/1`: whose keys and contracts somebody holds to be the real ones.

A receipt alone proves that it is consistent, not who made it. This file says who may. People
write and edit it, so any JSON encoding is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from evmesh.domain.canonical import Json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import ChainRef, PaidIn
from evmesh.domain.strict import StrictFields, checked_address

MAX_TRUSTED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Trust:
    """One chain with its contracts, the operators, the notaries' publishers, and each meter's key."""

    FORMAT: ClassVar[str] = "evmesh.trust/1"

    chain: ChainRef
    payees: frozenset[Address]
    publishers: frozenset[Address]
    meters: Mapping[str, Address]
    flex: PaidIn | None = None
    """The operator's FLEX, which charges may be paid in beside the chain's own token."""

    def names(self, chain: ChainRef) -> bool:
        """Tell whether this is the chain that it says, and the money, if another, the FLEX that it says."""
        return chain.site == self.chain and chain.paid_in in (None, self.flex)

    def to_json(self) -> Json:
        return {
            "format": self.FORMAT,
            "chain": self.chain.to_json(),
            "payees": sorted(payee.text for payee in self.payees),
            "publishers": sorted(publisher.text for publisher in self.publishers),
            "meters": [{"id": meter, "key": key.text} for meter, key in sorted(self.meters.items())],
            **({} if self.flex is None else {"flex": self.flex.to_json()}),
        }

    @classmethod
    def parse(cls, raw: bytes) -> "Trust":
        """Read strictly; raises InvalidInput with the path."""
        members = StrictFields(parse_json(raw))
        members.literal("format", cls.FORMAT)
        meters: dict[str, Address] = {}
        for item, path in members.array("meters", MAX_TRUSTED):
            meter = StrictFields(item, path)
            name = meter.text("id")
            if name in meters:
                raise InvalidInput("trust.doubled_meter", f"{name} stands twice", path=meter.path("id"))
            meters[name] = meter.address("key")
            meter.done()
        trust = cls(
            chain=ChainRef.read(members.object("chain")),
            payees=_addresses(members, "payees"),
            publishers=_addresses(members, "publishers"),
            meters=meters,
            flex=PaidIn.read(members.object("flex")) if members.has("flex") else None,
        )
        members.done()
        if trust.flex is not None and len(trust.payees) != 1:
            raise InvalidInput(
                "trust.flex_of_whom",
                "FLEX is one operator's promise, and several payees are named",
                do="write a file for each operator",
                path="flex",
            )
        return trust


def _addresses(members: StrictFields, key: str) -> frozenset[Address]:
    return frozenset(checked_address(item, path) for item, path in members.array(key, MAX_TRUSTED))

"""The parts of a receipt: where it was, what the meter said, where that is anchored, what was planned.

Each part reads itself strictly from the document and writes itself back.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Self

from evmesh.domain.canonical import MAX_DOCUMENT_INT, Json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, EvseId, StationId
from evmesh.domain.strict import StrictFields, checked_bytes, write_bytes, write_instant
from evmesh.domain.typed_data import Domain

MAX_PROOF: Final = 64
MAX_PLAN_STEPS: Final = 2_000


@dataclass(frozen=True, slots=True)
class PaidIn:
    """A money beside the site's own: the escrow that takes it, and the token that the escrow holds."""

    escrow: Address
    token: Address

    def to_json(self) -> Json:
        return {"escrow": self.escrow.text, "token": self.token.text}

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        money = cls(members.address("escrow"), members.address("token"))
        members.done()
        return money


@dataclass(frozen=True, slots=True)
class ChainRef:
    """The chain and the contracts that a document speaks of.

    `paid_in` is there where it speaks of a charge that was paid in another money than the site's own. Two
    domains follow: `domain` is of all that is no money, `money` of what was asked, offered and owed.
    """

    chain_id: int
    charge_tab: Address
    registry: Address
    notary: Address
    token: Address
    paid_in: PaidIn | None = None

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of readings, documents and records."""
        return Domain(self.chain_id, self.charge_tab)

    @property
    def money(self) -> Domain:
        """The EIP-712 domain of the charge's request, offer and vouchers."""
        return Domain(self.chain_id, self.escrow)

    @property
    def escrow(self) -> Address:
        """The escrow that the charge is paid by."""
        return self.charge_tab if self.paid_in is None else self.paid_in.escrow

    @property
    def paid_token(self) -> Address:
        """The token that the charge is paid in."""
        return self.token if self.paid_in is None else self.paid_in.token

    @property
    def site(self) -> Self:
        """The same chain, as documents name it that speak of no charge's money."""
        return replace(self, paid_in=None)

    def to_json(self) -> Json:
        contracts = {name: getattr(self, name).text for name in ("charge_tab", "registry", "notary", "token")}
        money = {} if self.paid_in is None else {"paid_in": self.paid_in.to_json()}
        return {"chain_id": self.chain_id, **contracts, **money}

    @classmethod
    def read(cls, members: StrictFields, *, of_charge: bool = False) -> Self:
        """Read it; only a document `of_charge` may say what that was paid in."""
        has_money = of_charge and members.has("paid_in")
        chain = cls(
            chain_id=members.integer("chain_id", 1),
            charge_tab=members.address("charge_tab"),
            registry=members.address("registry"),
            notary=members.address("notary"),
            token=members.address("token"),
            paid_in=PaidIn.read(members.object("paid_in")) if has_money else None,
        )
        members.done()
        if chain.paid_in is not None and chain.escrow == chain.charge_tab:
            raise InvalidInput(
                "document.bad_value", "the site's own money is not named again", path=members.path("paid_in")
            )
        return chain


@dataclass(frozen=True, slots=True)
class StationRef:
    """Where the car stood: the registry's number, the code on the charge point, and its names."""

    asset: int
    code: str
    evse_id: EvseId
    charge_point: StationId

    def to_json(self) -> Json:
        return {
            "asset": self.asset,
            "code": self.code,
            "evse_id": self.evse_id.text,
            "charge_point": self.charge_point.text,
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        station = cls(
            asset=members.integer("asset", 1),
            code=members.text("code", 8),
            evse_id=members.parsed("evse_id", _exact_evse_id),
            charge_point=members.parsed("charge_point", StationId.parse),
        )
        members.done()
        return station


@dataclass(frozen=True, slots=True)
class MeterEntry:
    """One leaf of the meter stream with its inclusion proof; `payload` is the signed bytes verbatim."""

    meter: str
    seq: int
    salt: bytes
    prev_hash: bytes
    payload: bytes
    index: int
    proof: tuple[bytes, ...]

    def to_json(self) -> Json:
        return {
            "meter": self.meter,
            "seq": self.seq,
            "salt": write_bytes(self.salt),
            "prev_hash": write_bytes(self.prev_hash),
            "payload": self.payload.decode(),
            "index": self.index,
            "proof": [write_bytes(node) for node in self.proof],
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        entry = cls(
            meter=members.text("meter"),
            seq=members.integer("seq", 1),
            salt=members.bytes_of("salt", 32),
            prev_hash=members.bytes_of("prev_hash", 32),
            payload=members.text("payload", 4_000).encode(),
            index=members.integer("index"),
            proof=tuple(checked_bytes(node, 32, path) for node, path in members.array("proof", MAX_PROOF)),
        )
        members.done()
        return entry


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The head that both meter entries are proven under, and who anchors it in which stream."""

    publisher: Address
    stream: bytes
    size: int
    root: bytes

    def to_json(self) -> Json:
        return {
            "publisher": self.publisher.text,
            "stream": write_bytes(self.stream),
            "size": self.size,
            "root": write_bytes(self.root),
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        head = cls(
            publisher=members.address("publisher"),
            stream=members.bytes_of("stream", 32),
            size=members.integer("size", 1),
            root=members.bytes_of("root", 32),
        )
        members.done()
        return head


@dataclass(frozen=True, slots=True)
class SignedVoucher:
    """A voucher of the payer for the receipt's payee."""

    epoch: int
    cumulative: int
    signature: bytes

    def to_json(self) -> Json:
        return {
            "epoch": self.epoch,
            "cumulative": str(self.cumulative),
            "signature": write_bytes(self.signature),
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        voucher = cls(
            epoch=members.integer("epoch"),
            cumulative=members.units("cumulative"),
            signature=members.bytes_of("signature", 64),
        )
        members.done()
        return voucher


@dataclass(frozen=True, slots=True)
class PlanRow:
    """The session's own row of the schedule that promised its energy, with λ of the same steps.

    Step `first + k` begins `(first + k) · step_s` after `start`; `wh[k]` is planned in it and
    `step_price[k]` is its λ in micro-currency per kWh.
    """

    problem_sha256: bytes
    schedule_sha256: bytes
    start: datetime
    step_s: int
    id: str
    first: int
    wh: tuple[int, ...]
    step_price: tuple[int, ...]

    def to_json(self) -> Json:
        return {
            "problem_sha256": write_bytes(self.problem_sha256),
            "schedule_sha256": write_bytes(self.schedule_sha256),
            "start": write_instant(self.start),
            "step_s": self.step_s,
            "row": {"id": self.id, "first": self.first, "wh": list(self.wh)},
            "step_price": list(self.step_price),
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        row = members.object("row")
        plan = cls(
            problem_sha256=members.bytes_of("problem_sha256", 32),
            schedule_sha256=members.bytes_of("schedule_sha256", 32),
            start=members.instant("start"),
            step_s=members.integer("step_s", 1, 86_400),
            id=row.text("id"),
            first=row.integer("first"),
            wh=row.bounded_integers("wh", MAX_PLAN_STEPS),
            step_price=members.bounded_integers("step_price", MAX_PLAN_STEPS, -MAX_DOCUMENT_INT),
        )
        row.done()
        members.done()
        return plan


@dataclass(frozen=True, slots=True)
class MeterKey:
    """Whose key signed the readings: the meter's own, or that of the gateway it hangs on."""

    address: Address
    kind: Literal["meter", "gateway"]

    def to_json(self) -> Json:
        return {"address": self.address.text, "kind": self.kind}

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        kind = members.literal("kind", "meter", "gateway")
        key = cls(members.address("address"), "meter" if kind == "meter" else "gateway")
        members.done()
        return key


def pseudonym_of(request_hash: bytes) -> str:
    """Give the id that a session has in published problems: 16 hexadecimal digits.

    The request's struct hash holds the driver's random nonce, so only who knows the request can
    find its row, and nobody can show another driver's row for it.
    """
    return sha256(b"evmesh.pseudonym/1" + request_hash).hexdigest()[:16]


def _exact_evse_id(raw: str) -> EvseId:
    found = EvseId.parse(raw)
    if found.text != raw:
        raise InvalidInput("evse.malformed_id", f"{raw!r} is not in the starred upper-case form")
    return found

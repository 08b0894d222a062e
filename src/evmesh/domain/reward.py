"""What follows a receipt: the reward, `evmesh.reward/1`, when the group's day is over.

Flexibility is paid from the cost that it saved. In each step the car charged `metered_wh` where
charging as soon as possible would have taken `baseline_wh`; the value of having waited is
max(0, Σ λ′ · (baseline − metered)). Where the values of the group's day add up to more than the
operator's share of the cost really avoided, all are scaled down alike.

It is paid in FLEX, by a voucher that names the hash of this document (`domain/flex_voucher.py`): so the
document says whom and how much, and the token says what was made.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import ClassVar, Final

from evmesh.domain.canonical import MAX_DOCUMENT_INT, Json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt_parts import MAX_PLAN_STEPS, ChainRef
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.strict import StrictFields, write_bytes, write_instant

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Reward(SignedDocument):
    """One session's share of its group's day; signed by the payee.

    Step k begins `k · step_s` after `start`; the three arrays are of one length, energies in Wh,
    λ′ in micro-currency per kWh. `value`, `total` (of all in the group's day) and `avoided` (cost) are
    undivided: Wh × micro-currency per kWh, so thousandths of a token unit. `reward` is units of the
    token `flex`, for `holder`, who has with it been rewarded `cumulative` units in all. It is vested from
    the unplug on: nothing that happened later counts.
    """

    FORMAT: ClassVar[str] = "evmesh.reward/1"

    receipt_sha256: bytes
    session: SessionId
    chain: ChainRef
    flex: Address
    holder: Address
    group: str
    day: str
    start: datetime
    step_s: int
    metered_wh: tuple[int, ...]
    baseline_wh: tuple[int, ...]
    step_price: tuple[int, ...]
    value: int
    total: int
    avoided: int
    share_per_mille: int
    reward: int
    cumulative: int
    vested_at: datetime
    payee: Address
    signature: bytes = b""

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        return {
            "receipt_sha256": write_bytes(self.receipt_sha256),
            "session": self.session.text,
            "chain": self.chain.to_json(),
            "flex": self.flex.text,
            "holder": self.holder.text,
            "group": self.group,
            "day": self.day,
            "start": write_instant(self.start),
            "step_s": self.step_s,
            "metered_wh": list(self.metered_wh),
            "baseline_wh": list(self.baseline_wh),
            "step_price": list(self.step_price),
            "value": str(self.value),
            "total": str(self.total),
            "avoided": str(self.avoided),
            "share_per_mille": self.share_per_mille,
            "reward": str(self.reward),
            "cumulative": str(self.cumulative),
            "vested_at": write_instant(self.vested_at),
            "payee": self.payee.text,
        }

    @classmethod
    def parse(cls, raw: bytes) -> "Reward":
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        reward = cls(
            receipt_sha256=members.bytes_of("receipt_sha256", 32),
            session=members.parsed("session", SessionId.parse),
            chain=ChainRef.read(members.object("chain")),
            flex=members.address("flex"),
            holder=members.address("holder"),
            group=members.text("group"),
            day=members.parsed("day", _day),
            start=members.instant("start"),
            step_s=members.integer("step_s", 1, 86_400),
            metered_wh=members.bounded_integers("metered_wh", MAX_PLAN_STEPS),
            baseline_wh=members.bounded_integers("baseline_wh", MAX_PLAN_STEPS),
            step_price=members.bounded_integers("step_price", MAX_PLAN_STEPS, -MAX_DOCUMENT_INT),
            value=members.decimal("value"),
            total=members.decimal("total"),
            avoided=members.decimal("avoided"),
            share_per_mille=members.integer("share_per_mille", 0, 1_000),
            reward=members.units("reward"),
            cumulative=members.units("cumulative"),
            vested_at=members.instant("vested_at"),
            payee=members.address("payee"),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
        )
        members.done()
        return reward


def certificate_of(raw: bytes) -> bytes:
    """Give the SHA-256 by which a FLEX voucher names the reward that explains it: over the whole file."""
    return sha256(raw).digest()


def flexibility_value(
    metered_wh: tuple[int, ...], baseline_wh: tuple[int, ...], step_price: tuple[int, ...]
) -> int:
    """Give max(0, Σ λ′ · (baseline − metered)), undivided."""
    steps = zip(metered_wh, baseline_wh, step_price, strict=True)
    return max(0, sum(price * (baseline - metered) for metered, baseline, price in steps))


def reward_of(value: int, total: int, avoided: int, share_per_mille: int) -> int:
    """Give the token units that `value` earns where all values add up to `total`; rounds down."""
    wanted, shared = total * 1_000, avoided * share_per_mille
    return value * shared // (wanted * 1_000) if wanted > shared else value // 1_000


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise InvalidInput("document.bad_value", f"{text!r} is not a day", do="write e.g. 2026-03-01")
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("document.bad_value", f"{text} is not on the calendar") from error
    return text

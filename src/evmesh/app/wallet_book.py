"""A wallet's own record of its charges: a file each, written before every step that others can see.

A device that lost power, or a program that was killed, goes on from here: with the same request, the
same deposit, the same vouchers. Nothing is signed anew that may have been sent.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from evmesh.app.files import read_file
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import Price, amount_words
from evmesh.domain.sessions import Way
from evmesh.domain.signed_types import ChargeRequest
from evmesh.domain.units import W, Wh
from evmesh.ledger.relayer import writer_lock

Json = dict[str, Any]


class Stage(StrEnum):
    """How far a charge is."""

    ASKED = "asked"
    """The request is signed."""
    OFFERED = "offered"
    """The promise is here and was checked. A charge by transfer skips this: nothing is promised."""
    PAID = "paid"
    """The money is secured: a voucher was taken, or a transfer was sent."""
    ENDED = "ended"
    """With a receipt, or knowing why there is none."""


@dataclass(slots=True)
class SavedDeposit:
    """A deposit by authorization as it was signed: the same salt moves the money once."""

    value: int
    valid_before: int
    salt: str


@dataclass(slots=True)
class Charge:
    """One charge. Times are UTC, money is token units."""

    begun: datetime
    code: str
    name: str
    asset: int
    rating: int
    price: int
    payee: str
    deposit_address: str
    min_deposit: int
    way: Way
    energy: int
    departure: int
    flexible: bool
    max_cost: int
    nonce: str
    deadline: int
    number: int = 0
    """Counts the charges of this wallet from 1; given by the book."""
    stage: Stage = Stage.ASKED
    session: str = ""
    epoch: int = 0
    base: int = 0
    budget: int = 0
    signed: int = 0
    """The highest voucher, in the tab's own terms."""
    paid_at: datetime | None = None
    """By this machine's clock, when the first voucher was taken."""
    paid_block_time: int = 0
    """The same by the chain's."""
    deposit: SavedDeposit | None = None
    transactions: list[Json] = field(default_factory=list)
    """What was moved: `{"kind", "amount", "hash"}`."""
    state: str = ""
    delivered: int = 0
    cost: int = 0
    receipt: str = ""
    note: str = ""
    """Why it ended otherwise than planned, as a code."""
    terms: str = ""
    """The signed terms of a transfer, as they were when it was sent."""
    zone: str = "UTC"
    """The time zone of the station's clock."""
    escrow: str = ""
    """What it is paid by, where that is not the escrow of the operator's own money."""
    currency: str = ""
    """What the money calls itself; empty where it has no name."""

    def request(self, payer: Address) -> ChargeRequest:
        """Give what is signed to ask for it."""
        return ChargeRequest(
            payer=payer,
            asset=self.asset,
            departure=self.departure,
            energy_wh=self.energy,
            flexible=self.flexible,
            max_cost=self.max_cost,
            nonce=bytes.fromhex(self.nonce),
            deadline=self.deadline,
        )

    def money(self, units: int) -> str:
        """Write an amount of what it is paid in."""
        return amount_words(units, self.currency)

    def there(self, at: datetime) -> datetime:
        """Give an instant on the station's clock."""
        return at.astimezone(ZoneInfo(self.zone))

    def price_of(self) -> Price:
        return Price(self.price)

    def rating_of(self) -> W:
        return W(self.rating)

    def metered(self) -> Wh:
        return Wh(self.delivered)


_LOCK: Final = "pay.lock"


class ChargeBook:
    """`charges/*.json` of a wallet's directory."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "charges"
        self._lock = directory / _LOCK

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let nobody else pay with this wallet while the block runs; raises Refused."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with writer_lock(self._lock):
            yield

    def save(self, charge: Charge) -> None:
        """Make it durable."""
        if not charge.number:
            charge.number = 1 + max((int(path.stem.partition("-")[0]) for path in self._files()), default=0)
        path = self._folder / f"{charge.number:06d}-{charge.nonce[:8]}.json"
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(charge), indent=2))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def open_charge(self) -> Charge | None:
        """Give the charge that has not ended, if there is one."""
        return next((one for one in self.charges() if one.stage is not Stage.ENDED), None)

    def charges(self) -> list[Charge]:
        """Give all, the newest first."""
        found = []
        for path in sorted(self._files(), reverse=True):
            try:
                found.append(msgspec.json.decode(read_file(path), type=Charge))
            except (msgspec.MsgspecError, ValueError) as error:
                raise InvalidInput(
                    "wallet.damaged_record",
                    f"{path} cannot be read as a charge",
                    do="restore it, or move it away if you know that it has ended",
                ) from error
        return found

    def _files(self) -> list[Path]:
        return list(self._folder.glob("[0-9]*-*.json"))

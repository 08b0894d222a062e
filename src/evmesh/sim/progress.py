"""How far a driver's visit is, as the driver's device remembers it over a power cut."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from evmesh.domain.sessions import Way
from evmesh.domain.units import Wh
from evmesh.sim.state import SimState
from evmesh.sim.visits import Money


class Stage(StrEnum):
    """What has been done; each stage is written before the next step is tried."""

    ARRIVED = "arrived"
    ASKED = "asked"
    OFFERED = "offered"
    PAID = "paid"
    LEFT = "left"
    DONE = "done"
    """Left, with a receipt or knowing that there will be none."""
    GONE = "gone"
    """Went without charging."""


ENDED = frozenset({Stage.DONE, Stage.GONE})


@dataclass(slots=True)
class Ask:
    """One request as it is (or was) sent; the nonce makes the platform see the same request again."""

    asset: int
    departure: int
    energy: Wh
    flexible: bool
    max_cost: int
    nonce: str
    deadline: int


@dataclass(slots=True)
class Accepted:
    """The session and its signed offer, as the platform answered."""

    session: str
    payee: str
    epoch: int
    base: int
    budget: int
    price: int
    rating: int = 0
    """Of the outlet, in W, as its page said."""
    pays_ahead: bool = False
    """Whether the operator lets this wallet pay before it charges only."""


@dataclass(slots=True)
class Progress:
    """One visit. Times are UTC."""

    key: str
    driver: str
    arrival: datetime
    departure: datetime
    stated_departure: datetime
    requested: Wh
    need: Wh
    max_power: int
    wanted_connector: str
    way: Way = Way.PREPAID
    money: Money = Money.TOKEN
    connector: str = ""
    """Where the driver stands; empty before a free place was found."""
    stage: Stage = Stage.ARRIVED
    plugged: bool = False
    refusals: int = 0
    deposited_at: str = ""
    """Where money was put into the tab before a promise, since none was given without it."""
    ask: Ask | None = None
    accepted: Accepted | None = None
    signed: int = 0
    """The highest voucher of this session so far, in token units."""
    paid_at: datetime | None = None
    """When the first one was taken."""
    received_wh: Wh | None = None
    """What the car's own display said at unplugging."""
    sent: int = 0
    """What a transfer was for, in token units; the money is never sent a second time."""
    sent_hash: str = ""
    note: str = ""
    """Why the driver went, in a code, e.g. `request.refused`."""

    def save(self, state: SimState) -> None:
        """Make this durable."""
        text = msgspec.json.encode(self).decode()
        state.save_visit(self.key, self.arrival, text, ended=self.stage in ENDED)

    @classmethod
    def read(cls, text: str) -> "Progress":
        return msgspec.json.decode(text, type=cls)

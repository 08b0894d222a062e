"""A charge as a state machine: one table, which the services run and the kill tests are made from.

    reserved → funded → starting → charging ⇄ suspended → stopping → metered → settled
    reserved → expired          funded | starting → refunding → refunded

Money never rests in a failure: `failed` is a cause that a transition records, not a state.
Every transition is one database transaction: the session's new row, its journal row, and the
effects (messages to a station or to the chain) that are sent after the commit and sent again
after a crash until they are known to be done.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address, ConnectorRef, SessionId
from evmesh.domain.money import Price
from evmesh.domain.units import Wh


class State(StrEnum):
    """Where a session is. Values are what the database and the API carry."""

    RESERVED = "reserved"
    FUNDED = "funded"
    STARTING = "starting"
    CHARGING = "charging"
    SUSPENDED = "suspended"
    STOPPING = "stopping"
    METERED = "metered"
    SETTLED = "settled"
    EXPIRED = "expired"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


TERMINAL: Final = frozenset({State.SETTLED, State.EXPIRED, State.REFUNDED})
"""Nothing more happens to such a session."""

PLUGGED: Final = frozenset({State.CHARGING, State.SUSPENDED, State.STOPPING})
"""A transaction runs on the connector."""

OCCUPYING: Final = frozenset(State) - TERMINAL - {State.METERED, State.REFUNDING}
"""The connector is this session's: what comes after is money alone."""

PROMISED: Final = frozenset({State.RESERVED, State.FUNDED, State.STARTING, State.CHARGING, State.SUSPENDED})
"""The planner owes this session energy."""


class Event(StrEnum):
    """What moves a session."""

    RESERVE = "reserve"
    """How a session comes to be; it has no source state, and no row in the table."""
    FUND = "fund"
    START = "start"
    STARTED = "started"
    SUSPEND = "suspend"
    RESUME = "resume"
    STOP = "stop"
    METER = "meter"
    SETTLE = "settle"
    EXPIRE = "expire"
    REFUND = "refund"
    REFUNDED = "refunded"


class EffectKind(StrEnum):
    """A message to the outside that a transition owes. Each is idempotent at the receiver."""

    REMOTE_START = "remote_start"
    REMOTE_STOP = "remote_stop"
    ANCHOR = "anchor"
    CLAIM = "claim"
    PAY_OUT = "pay_out"
    """What a charge by transfer owes instead of a claim."""
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    event: Event
    sources: frozenset[State]
    target: State
    guard: str
    """What the service has checked before, in words; the check itself is in the service."""
    effects: tuple[EffectKind, ...] = ()
    timeout: timedelta | None = None
    """How long the target state may last before `on_timeout`."""
    on_timeout: Event | None = None

    def owed(self, way: "Way") -> "tuple[EffectKind, ...]":
        """Give the effects for a way to pay: a transfer is in no tab, so nothing is claimed of one."""
        if way is not Way.TRANSFER:
            return self.effects
        return tuple(EffectKind.PAY_OUT if one is EffectKind.CLAIM else one for one in self.effects)


RESERVATION_TTL: Final = timedelta(minutes=5)
"""How long a driver has to pay whose tab holds the money. The promise is planned from later on
(`services/plans.py`, START_ALLOWANCE), so whoever pays within this time loses nothing of it."""
UNSECURED_TTL: Final = timedelta(minutes=3)
"""How long a driver has who must deposit first: such a promise costs nothing, and keeps others away."""
FUNDED_TIMEOUT: Final = timedelta(minutes=1)
"""How long a paid session may wait for its start, which a crash may delay."""
NO_CAR_TIMEOUT: Final = timedelta(minutes=5)
"""DESIGN's word to the driver: without a car within five minutes the money goes back. A station that was
told to start and is away is heard first (`services/starts.py`)."""

UNCOLLECTABLE: Final = "claim.uncollectable"
"""The flag of a charge that was metered and can never be paid: the driver's tab is in another epoch."""

TABLE: Final = (
    Transition(
        Event.FUND,
        frozenset({State.RESERVED}),
        State.FUNDED,
        "the voucher covers base + budget, the tab's ceiling covers the voucher, the offer has not ended; "
        "or transfers to the EVSE's deposit address are confirmed that cover budget and fee",
        timeout=FUNDED_TIMEOUT,
        on_timeout=Event.REFUND,
    ),
    Transition(
        Event.START,
        frozenset({State.FUNDED}),
        State.STARTING,
        "the group's plan is still feasible with this session, the connector is free",
        effects=(EffectKind.REMOTE_START,),
        timeout=NO_CAR_TIMEOUT,
        on_timeout=Event.REFUND,
    ),
    Transition(
        Event.STARTED,
        frozenset({State.STARTING}),
        State.CHARGING,
        "the station began a transaction with the session's idTag",
    ),
    Transition(Event.SUSPEND, frozenset({State.CHARGING}), State.SUSPENDED, "the station says so"),
    Transition(Event.RESUME, frozenset({State.SUSPENDED}), State.CHARGING, "the station says so"),
    Transition(
        Event.STOP,
        frozenset({State.CHARGING, State.SUSPENDED}),
        State.STOPPING,
        "the driver's word, the energy is delivered, the budget is used, or the departure has come",
        effects=(EffectKind.REMOTE_STOP,),
    ),
    Transition(
        Event.METER,
        frozenset({State.CHARGING, State.SUSPENDED, State.STOPPING}),
        State.METERED,
        "the station ended the transaction, is known to have lost it, or the offer's end has come",
        effects=(EffectKind.ANCHOR, EffectKind.CLAIM),
    ),
    Transition(
        Event.SETTLE,
        frozenset({State.METERED}),
        State.SETTLED,
        "what is due is on chain, or can never be collected",
    ),
    Transition(Event.EXPIRE, frozenset({State.RESERVED}), State.EXPIRED, "nobody paid in time"),
    Transition(
        Event.REFUND,
        frozenset({State.FUNDED, State.STARTING}),
        State.REFUNDING,
        "no car, a refusal by the station, or a plan that no longer holds it; nothing can have begun unheard",
        effects=(EffectKind.REFUND,),
    ),
    Transition(Event.REFUNDED, frozenset({State.REFUNDING}), State.REFUNDED, "the refund is on chain"),
)

_BY_EVENT: Final = {row.event: row for row in TABLE}


def transition(state: State, event: Event) -> Transition:
    """Give the row for `event` in `state`; raises Refused `session.wrong_state` where there is none."""
    row = _BY_EVENT[event]
    if state not in row.sources:
        raise Refused("session.wrong_state", f"a session that is {state} cannot {event}")
    return row


class Way(StrEnum):
    """How a session is paid: in which of three ways money is secured before energy flows."""

    PREPAID = "prepaid"
    """A voucher for the whole budget, against the driver's escrow tab."""
    TRANSFER = "transfer"
    """A token transfer from any wallet to the deposit address of the EVSE."""
    STREAMING = "streaming"
    """A voucher for each 100 Wh, against the driver's escrow tab."""


class StopCause(StrEnum):
    """Why energy stopped; recorded in the journal and shown to the driver."""

    DRIVER = "driver"
    FULL = "full"
    DELIVERED = "delivered"
    BUDGET = "budget"
    DEPARTURE = "departure"
    UNPLUGGED = "unplugged"
    STATION = "station"
    GHOST = "ghost"
    """The station lost the transaction, or never ended it; billed up to the last register that was stored."""
    VOUCHER = "voucher"
    """A voucher is missing: what was metered is not covered (`domain/streaming.py`)."""


@dataclass(frozen=True, slots=True)
class ChargeTerms:
    """What the driver asked for and was promised."""

    payer: Address
    connector: ConnectorRef
    asset: int
    arrival: datetime
    departure: datetime
    energy: Wh
    flexible: bool
    price: Price
    budget: int
    base: int
    epoch: int
    """Base and epoch of the escrow tab when the offer was signed; a prepaid voucher is base + budget."""
    escrow: Address
    """Names the money: the escrow whose tab pays. Of a transfer, which is in no tab, the site's own."""
    way: Way = Way.PREPAID


@dataclass(frozen=True, slots=True)
class Session:
    """One charge as the database holds it. `deadline` is when its present state times out."""

    id: SessionId
    state: State
    terms: ChargeTerms
    id_tag: str
    """Random, 20 characters: what the station authorises this session by; never an address."""
    request_signature: bytes
    request_nonce: bytes
    request_deadline: int
    max_cost: int
    offer_signature: bytes
    plan_sha256: str
    """The schedule that promised the energy: what the receipt's plan row is from."""
    voucher_signature: bytes | None
    created_at: datetime
    changed_at: datetime
    deadline: datetime | None = None
    transaction_id: int | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    meter_start: Wh | None = None
    meter_last: Wh | None = None
    due: int | None = None
    refund: int | None = None
    """What goes back to the payer, in token units; noted before it is sent."""
    voucher_cumulative: int | None = None
    """The amount of the highest voucher held, in token units since the epoch began; that of a prepaid
    session is base + budget."""
    voucher_by: datetime | None = None
    """By when a voucher must cover what was metered, or the station is stopped; None while it is covered."""
    offered_energy: Wh | None = None
    offered_budget: int | None = None
    """What request and offer name, where transfers that came later raised the terms; None: as the terms."""
    cause: str = ""
    flags: tuple[str, ...] = field(default=())
    """What an auditor should look at: `meter.register_went_back`, `promise.short`, …"""

    @property
    def delivered(self) -> Wh:
        """Energy since the start by the last register stored; 0 before it started."""
        if self.meter_start is None or self.meter_last is None:
            return Wh(0)
        return Wh(self.meter_last - self.meter_start)

    @property
    def uncollected(self) -> int:
        """What was due and could not be collected, in token units."""
        return (self.due or 0) if UNCOLLECTABLE in self.flags else 0

    def flags_and(self, flag: str) -> tuple[str, ...]:
        """Give the flags with one more; one that is there already is not added again."""
        return self.flags if flag in self.flags else (*self.flags, flag)


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One transition as it happened."""

    number: int
    at: datetime
    session: SessionId
    event: Event
    source: State | None
    target: State
    cause: str


@dataclass(frozen=True, slots=True)
class Effect:
    """A message that is owed until it is known to be done."""

    number: int
    session: SessionId
    kind: EffectKind
    created_at: datetime
    attempts: int = 0

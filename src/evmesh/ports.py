"""What the services need of the world, as Protocols in domain words.

Adapters (`csms`, `ledger`, `store`, `telemetry`, `sim`) implement these; `app/platform.py` joins
them. Read `Store` and `ChargePoint` first: a session is a row of the one and a command to the
other. Every method may raise `Unavailable` when what it stands for is away.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from evmesh.domain.chain import AuthorizedDeposit, Claim, DepositOrder, JournaledTransaction, Mined, Tab
from evmesh.domain.evidence import NotaryLeaf, RefusalRecord, StoredPlan
from evmesh.domain.ids import Address, ConnectorRef, SessionId, StationId
from evmesh.domain.sessions import Effect, EffectKind, JournalRow, Session
from evmesh.domain.stations import (
    AssetFacts,
    BootInfo,
    ConnectorStatus,
    LimitProfile,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
    Transaction,
)
from evmesh.domain.telemetry import TelemetryValue
from evmesh.domain.units import W, Wh


class AsyncService(Protocol):
    """Something that runs until it is cancelled."""

    name: str

    async def run(self) -> None:
        """Run for ever; raise Unavailable to be restarted, anything else to stop the platform."""


class Clock(Protocol):
    """Platform time: the only time that records, plans, deadlines and blocks carry."""

    def now(self) -> datetime:
        """Give aware UTC; it never goes back, not even over a restart."""

    def monotonic(self) -> float:
        """Give seconds of platform time for intervals."""

    async def sleep_until(self, instant: datetime) -> None:
        """Return once `now()` is at or past `instant`."""


class Signatures(Protocol):
    """The hash and signature primitives that checking needs."""

    def keccak256(self, data: bytes) -> bytes:
        """Give the 32-byte Keccak-256 (Ethereum's, not SHA3-256)."""

    def recover(self, digest: bytes, signature: bytes) -> Address:
        """Give the signer of a 64-byte (EIP-2098) or 65-byte (r, s, v) signature.

        Raises IntegrityFailure `signature.malformed` for a zero recovery and a high s too.
        """


class MeterSignatures(Protocol):
    """Checks what meters sign with keys of their own, as OCMF carries it."""

    def check(self, algorithm: str, key: bytes, payload: bytes, signature: bytes) -> None:
        """Return where the owner of `key` signed `payload`.

        `algorithm` is named as OCMF does (`ECDSA-secp256r1-SHA256`); `key` is a DER
        SubjectPublicKeyInfo or a point of that curve (04 ‖ x ‖ y); `signature` is DER. Raises
        IntegrityFailure `ocmf.false_signature` or `ocmf.other_curve`, InvalidInput `ocmf.bad_key`, and
        Refused `ocmf.cannot_check` for an algorithm or a key's curve that cannot be checked here.
        """


class Signer(Protocol):
    """One private key that is used and never shown."""

    @property
    def address(self) -> Address: ...

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte EIP-2098 signature of a 32-byte digest."""


class TransactionJournal(Protocol):
    """The write-ahead journal of transactions: what stands here is sent until it is mined.

    `key` is the purpose (`claim:{session}`): the same key never becomes two transactions.
    """

    async def find(self, key: str) -> JournaledTransaction | None:
        """Give the transaction that was written for this purpose, if any."""

    async def write(self, transaction: JournaledTransaction) -> None:
        """Store before the first send; durable when this returns. Replaces the row of the same key."""

    async def unmined(self, sender: Address) -> Sequence[JournaledTransaction]:
        """Give what is not known to be mined, in nonce order."""

    async def mined(self, key: str, outcome: Mined) -> None:
        """Record the block."""

    async def since_block(self, sender: Address, block: int) -> Sequence[JournaledTransaction]:
        """Give what was mined in `block` or later, in nonce order: to send again on a chain that lost it."""


class Registry(Protocol):
    """`AssetRegistry`: who runs which EVSE, at what price."""

    async def find(self, asset: int) -> AssetFacts | None:
        """Read one asset; None where the counter is not in use."""


class Escrow(Protocol):
    """`ChargeTab`: the money."""

    async def tab(self, payee: Address, payer: Address) -> Tab:
        """Read one tab at the newest block."""

    async def deposit(self, order: DepositOrder, key: str) -> Mined:
        """Relay a driver's deposit; simulated first. Raises Refused with the contract's reason."""

    async def claim(self, claims: Sequence[Claim], key: str) -> Mined:
        """Claim for the operator; idempotent per `key`."""

    async def refund(self, payer: Address, tab: Tab, key: str) -> Mined:
        """Close the operator's tab with `payer` at what is spent already: the rest goes back.

        Idempotent per `key`, also where the tab is in its next epoch by then.
        """

    async def account(self, payee: Address) -> tuple[int, int]:
        """Read what a payee has earned and what of it was paid out, since the contract began."""

    async def payout(self, key: str) -> Mined:
        """Move what was claimed to the operator's account."""


class DriverRelay(Protocol):
    """What the operator sends for drivers beside plain deposits, so that none of them needs gas.

    Each is simulated first, and idempotent per `key`; raises Refused with the contract's reason.
    """

    async def deposit_authorized(self, order: AuthorizedDeposit, key: str) -> Mined:
        """Relay a deposit by EIP-3009."""

    async def begin_exit(self, payer: Address, epoch: int, signature: bytes, key: str) -> Mined:
        """Relay a driver's signed Exit from the operator's tab."""

    async def finish_exit(self, payer: Address, key: str) -> Mined:
        """Return to a driver what the tab has left, after the window."""


class Notary(Protocol):
    """`MeterNotary`: the newest tree head per (publisher, stream)."""

    async def anchor(self, stream: bytes, size: int, root: bytes, key: str) -> Mined:
        """Publish a head. A head that is already there, or older than the newest, is not sent again."""

    async def head(self, stream: bytes) -> tuple[int, bytes]:
        """Read (size, root) of our newest anchor; (0, zeros) before the first."""


class Wallet(Protocol):
    """A driver's money and keys, on the driver's own device."""

    @property
    def address(self) -> Address: ...

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte EIP-2098 signature."""

    async def balance(self) -> int:
        """Token units the driver holds, outside the escrow."""

    async def deposit_order(
        self, payee: Address, ceiling: int, deadline: int, *, least: int = 0
    ) -> DepositOrder | None:
        """Sign what raises the tab to `ceiling`, or by `least` where that is more; None where it is there.

        Raises Refused `wallet.too_little` where the balance does not reach.
        """


class ChargePoint(Protocol):
    """What services ask of a station. Raises Unavailable `station.offline` where it is not connected."""

    def is_connected(self, station: StationId) -> bool: ...

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        """Ask for a transaction; False where the station rejects it."""

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        """Ask for the end; False where the station knows no such transaction."""

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        """Send the transaction's charging profile, replacing the one before; False where rejected."""

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        """Limit every transaction that has no profile of its own, for good; False where rejected."""


class ChargePointEvents(Protocol):
    """What stations tell the services. Each returns only once the fact is durable."""

    async def booted(self, station: StationId, info: BootInfo) -> bool:
        """Say whether this station belongs to us."""

    async def connected(self, station: StationId) -> None: ...

    async def disconnected(self, station: StationId) -> None: ...

    async def status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None: ...

    async def authorize(self, station: StationId, id_tag: str) -> bool: ...

    async def started(self, start: StartedTransaction) -> StartAnswer: ...

    async def metered(
        self, connector: ConnectorRef, transaction_id: int | None, samples: Sequence[MeterSample]
    ) -> None: ...

    async def stopped(self, stop: StoppedTransaction) -> None: ...


class TelemetryBus(Protocol):
    """Values out, retained, at least once; values of everybody in."""

    async def publish(self, value: TelemetryValue) -> None:
        """Queue for publishing when it differs from the last; bounded, and drops the oldest of a topic."""

    def values(self) -> AsyncIterator[TelemetryValue]:
        """Follow every charger's values, retained ones first."""


class FrameLine(Protocol):
    """An open connection to where encrypted channels lie; raises Unavailable `broker.away` when it is cut."""

    async def put(self, place: bytes, slot: int, packet: bytes) -> None:
        """Keep a packet for readers now and later; it takes the place of the one in this slot before."""

    async def forget(self, place: bytes, slots: int) -> None:
        """Empty the first `slots` slots of a place."""

    async def watch(self, place: bytes) -> None: ...

    def packets(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Give (place, packet): what lies at watched places, in any order, then what comes."""


class FrameCarrier(Protocol):
    """Carries the packets of channels, without being able to read or to link them."""

    def open(self) -> AbstractAsyncContextManager[FrameLine]: ...


class TelemetryStore(Protocol):
    """The time series, for looking; billing never reads it."""

    async def last(self, charger: str) -> Mapping[str, TelemetryValue]: ...

    async def range(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> Sequence[TelemetryValue]: ...


class Unit(Protocol):
    """One database transaction: all of it is durable when its `async with` ends, or none of it."""

    @property
    def has_written(self) -> bool:
        """Say whether anything but a look was asked of it so far."""

    async def add_session(self, session: Session, cause: str) -> None:
        """Insert with its first journal row."""

    async def save_session(
        self, session: Session, journal: JournalRow, effects: Sequence[EffectKind]
    ) -> None:
        """Write the row after a transition, its journal row (numbered here), and what is owed."""

    async def touch_session(self, session: Session) -> None:
        """Write facts that are no transition: registers and flags."""

    async def session(self, session: SessionId) -> Session | None: ...

    async def session_of_tag(self, id_tag: str) -> Session | None: ...

    async def session_of_request(self, payer: Address, nonce: bytes) -> Session | None: ...

    async def sessions(self, *, open_only: bool, limit: int = 1000) -> Sequence[Session]:
        """Newest first; open ones are not in a terminal state, and `limit` never hides one."""

    async def expired(self, after: datetime) -> Sequence[Session]:
        """Those that ended unpaid after an instant, oldest first."""

    async def sessions_begun(self, start: datetime, end: datetime) -> Sequence[Session]:
        """Those whose transaction began in [start, end), oldest first."""

    async def journals(self, sessions: Sequence[SessionId]) -> Mapping[SessionId, Sequence[JournalRow]]:
        """Each session's transitions, oldest first."""

    async def pending_effects(self) -> Sequence[Effect]: ...

    async def effect_tried(self, number: int) -> None: ...

    async def effect_done(self, number: int) -> None: ...

    async def start_transaction(self, start: StartedTransaction, session: SessionId | None) -> Transaction:
        """Give the transaction of exactly this content, made now if it is new."""

    async def transaction(self, station: StationId, transaction_id: int) -> Transaction | None: ...

    async def stop_transaction(self, stop: StoppedTransaction) -> None: ...

    async def append_leaf(self, leaf: NotaryLeaf, session: SessionId | None) -> None: ...

    async def leaves_of(self, meter: str, limit: int = 1) -> Sequence[NotaryLeaf]:
        """The newest leaves of one meter, newest first."""

    async def leaf_hashes(self, start: int = 0) -> Sequence[bytes]:
        """All leaf hashes from index `start`, in order."""

    async def session_leaves(self, session: SessionId) -> Sequence[NotaryLeaf]: ...

    async def save_head(self, session: SessionId, size: int, root: bytes) -> None: ...

    async def head_of(self, session: SessionId) -> tuple[int, bytes] | None: ...

    async def save_plan(self, plan: StoredPlan) -> None: ...

    async def plan(
        self, group: str, start: datetime | None = None, *, or_before: bool = False
    ) -> StoredPlan | None:
        """The newest plan of a group, or the newest that begins at `start`, or then or before."""

    async def plans(self, group: str, start: datetime, end: datetime) -> Sequence[StoredPlan]:
        """For each instant in [start, end) at which plans begin, the newest of them; in order of time."""

    async def plan_of(self, schedule_sha256: str) -> StoredPlan | None:
        """The newest plan with this schedule; the same schedule may have been in force more than once."""

    async def save_document(self, session: SessionId, format: str, raw: bytes) -> None:
        """Keep a receipt, settlement or reward; the first one written stays."""

    async def document(self, session: SessionId, format: str) -> bytes | None: ...

    async def documented(self, sessions: Sequence[SessionId], format: str) -> frozenset[SessionId]:
        """Which of these sessions have such a document."""

    async def add_refusal(self, refusal: RefusalRecord) -> None:
        """Keep a no; of the same payer and nonce the first one stays. Only the newest ones are kept."""

    async def refusal_of(self, payer: Address, nonce: bytes) -> RefusalRecord | None:
        """The refusal that this very request got."""

    async def refusals(self, limit: int) -> Sequence[RefusalRecord]:
        """Newest first."""

    async def refusal(self, number: int) -> RefusalRecord | None: ...

    async def set_status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None: ...

    async def statuses(self) -> Mapping[ConnectorRef, ConnectorStatus]:
        """What each connector said last."""

    async def set_register(self, connector: ConnectorRef, at: datetime, register: Wh) -> None: ...

    async def last_instant(self) -> datetime | None:
        """The newest time in any record, for the clock to resume after."""

    async def meter_register(self, connector: ConnectorRef) -> tuple[datetime, Wh] | None:
        """The newest register stored for a connector."""


class Store(Protocol):
    """The relational state. Units are serial: one is open at a time."""

    def begin(self) -> AbstractAsyncContextManager[Unit]:
        """Open a database transaction; it commits at the end of the block, or rolls back on an error."""


Checkpoint = Callable[[str], None]
"""Called with the name of each point where a crash must be survivable; the kill tests crash there."""

Randomness = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess (`secrets.token_bytes`)."""

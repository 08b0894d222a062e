"""The relational state."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from evmesh.domain.evidence import NotaryLeaf, RefusalRecord, StoredPlan
from evmesh.domain.ids import Address, ConnectorRef, SessionId, StationId
from evmesh.domain.sessions import Effect, EffectKind, JournalRow, Session
from evmesh.domain.stations import ConnectorStatus, StartedTransaction, StoppedTransaction, Transaction
from evmesh.domain.units import Wh
from evmesh.ports.caps import CapUnit
from evmesh.ports.equipment import EquipmentUnit
from evmesh.ports.invoices import InvoiceUnit
from evmesh.ports.rewards import RewardUnit
from evmesh.ports.streams import StreamUnit
from evmesh.ports.tabs import TabUnit
from evmesh.ports.transfers import TransferUnit


class Unit(CapUnit, EquipmentUnit, InvoiceUnit, RewardUnit, StreamUnit, TabUnit, TransferUnit, Protocol):
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

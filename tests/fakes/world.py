"""A whole platform's services on a real database, with hardware and money that tests hold in hand."""

import asyncio
import atexit
import contextlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from evmesh.domain.chain import Contracts, Tab
from evmesh.domain.ids import Address, ConnectorRef, EvseId, SessionId, StationId
from evmesh.domain.money import Price
from evmesh.domain.readings import is_register, most_growth
from evmesh.domain.sessions import Session, State
from evmesh.domain.signed_types import ChargeRequest, StopRequest, Voucher
from evmesh.domain.stations import (
    Connector,
    ConnectorStatus,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
)
from evmesh.domain.transfers import TransferPolicy
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import TypedStruct, digest
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.ledger.deposits import RETURN_GAS
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.ledger.signatures import EthereumSignatures, KeySigner
from evmesh.planning.optimiser import prepare
from evmesh.ports import AsyncService, DepositChain, Randomness, RefillClaims
from evmesh.services.caps import GroupCaps
from evmesh.services.caretaker import Caretaker
from evmesh.services.control import Control
from evmesh.services.directory import Directory, Group, Operator, Place, Supply
from evmesh.services.effects import Effects
from evmesh.services.escrows import Escrows, Money
from evmesh.services.late_vouchers import LateVouchers
from evmesh.services.live import LiveState
from evmesh.services.meter_log import MeterLog
from evmesh.services.payments import Payments
from evmesh.services.plans import Planner
from evmesh.services.receipts import Receipts, chain_ref
from evmesh.services.requests import NotPromised, Promise, Requests
from evmesh.services.settlements import Settlements
from evmesh.services.signed_meters import SignedMeters
from evmesh.services.sources import Sources
from evmesh.services.state_feed import StateFeed
from evmesh.services.stations import StationEvents
from evmesh.services.stream_log import ScheduleLog, StreamLog
from evmesh.services.streaming import Streaming
from evmesh.services.supply import flat_tariff_supply
from evmesh.services.tab_memory import TabMemory
from evmesh.services.transfers import Transfers
from evmesh.services.transfers_open import DepositDesk
from evmesh.services.transfers_payout import DepositPayouts, DepositReturns
from evmesh.services.transfers_settle import DepositSettling
from evmesh.services.transfers_terms import TransferTermsDesk
from evmesh.services.transfers_watch import TransferWatch
from evmesh.services.transitions import Transitions
from evmesh.store.database import Database
from tests.drivers.clocks import HandClock
from tests.fakes.deposits import FakeDepositChain
from tests.fakes.hardware import FakeBus, FakeNotary, FakeStations
from tests.fakes.money import EMPTY, FakeEscrow, FakeRelay

SIGNATURES = EthereumSignatures()
PRICE = Price(350_000)
RATING = W(7_360)
CONTRACTS = Contracts(
    31337,
    registry=Address("0x" + "a1" * 20),
    charge_tab=Address("0x" + "c7" * 20),
    notary=Address("0x" + "b2" * 20),
    token=Address("0x" + "d3" * 20),
    status=Address("0x" + "e4" * 20),
    flex=Address("0x" + "f5" * 20),
    flex_tab=Address("0x" + "c8" * 20),
    board=Address("0x" + "b6" * 20),
)
OPERATOR = Operator(
    payee=KeySigner(b"\x11" * 32),
    gateway=KeySigner(b"\x22" * 32),
    notary=KeySigner(b"\x33" * 32).address,
    contracts=CONTRACTS,
)
DEAR_MORNING = (90_000, 80_000, 120_000, 40_000, 30_000, 20_000)
"""Micro-currency per kWh by hour of the day, over and over: later is often cheaper."""


def place(number: int, group: str, rating: W = RATING, phases: int = 1, ocmf_key: bytes = b"") -> Place:
    """Give the `number`th connector: two to a station."""
    station = StationId(f"CP-{(number + 1) // 2}")
    connector = Connector(
        ref=ConnectorRef(station, 2 - number % 2),
        evse_id=EvseId(f"NL*EVM*E{number}"),
        rating=rating,
        phases=phases,
        max_current=Milliamp(32_000),
        group=group,
        latitude_udeg=52_000_000,
        longitude_udeg=-4_000_000,
        price=PRICE,
        ocmf_key=ocmf_key,
    )
    return Place(number, f"bay-{number}", connector, Address("0x" + f"{number:040x}"))


def dear_morning(instant: datetime) -> int:
    """Give the price of an hour: later is often cheaper."""
    return DEAR_MORNING[instant.hour % len(DEAR_MORNING)]


class Driver:
    """A wallet: one key, used by the driver alone."""

    def __init__(self, name: str = "driver") -> None:
        self.key = KeySigner(SIGNATURES.keccak256(f"key of the {name}".encode()))
        self._nonces = count(1)

    @property
    def address(self) -> Address:
        return self.key.address

    def sign(self, value: TypedStruct, escrow: Address | None = None) -> bytes:
        """Sign in the money of an escrow; by default in the site's own, whose domain all else has too."""
        domain = CONTRACTS.money(escrow or CONTRACTS.charge_tab)
        return self.key.sign(digest(domain, value, SIGNATURES.keccak256))

    def nonce(self) -> bytes:
        return self.address.to_bytes() + next(self._nonces).to_bytes(12, "big")


@dataclass
class World:
    """The services, and what tests need to play everybody else."""

    clock: HandClock
    database: Database
    transitions: Transitions
    directory: Directory
    live: LiveState
    planner: Planner
    requests: Requests
    tabs: TabMemory
    payments: Payments
    receipts: Receipts
    events: StationEvents
    effects: Effects
    caretaker: Caretaker
    control: Control
    caps: GroupCaps
    stations: FakeStations
    escrow: FakeEscrow
    flex: FakeEscrow
    """The escrow over FLEX."""
    escrows: Escrows
    notary: FakeNotary
    deposits: FakeDepositChain
    transfers: Transfers
    watch: TransferWatch
    returns: DepositReturns
    bus: FakeBus
    sources: Sources
    supply: Supply
    reached: list[str] = field(default_factory=list)
    """Every checkpoint that was passed."""
    registers: dict[ConnectorRef, int] = field(default_factory=dict)

    @property
    def places(self) -> tuple[Place, ...]:
        return self.directory.places

    def at(self, **after: float) -> datetime:
        return self.clock.now() + timedelta(**after)

    def wish(self, driver: Driver, at: Place, wh: int = 5_000, **changes: Any) -> ChargeRequest:
        """Give an unsigned request; by default 5 kWh within four hours."""
        values: dict[str, Any] = {
            "payer": driver.address,
            "asset": at.asset,
            "departure": int(self.at(hours=4).timestamp()),
            "energy_wh": wh,
            "flexible": True,
            "max_cost": 100_000_000,
            "nonce": driver.nonce(),
            "deadline": int(self.at(minutes=10).timestamp()),
        }
        return ChargeRequest(**(values | changes))

    async def ask(
        self, driver: Driver, at: Place, wh: int = 5_000, *, escrow: Address | None = None, **changes: Any
    ) -> Promise | NotPromised:
        wish = self.wish(driver, at, wh, **changes)
        return await self.requests.request(at.code, wish, driver.sign(wish, escrow), escrow=escrow)

    async def promised(self, driver: Driver, at: Place, wh: int = 5_000, **changes: Any) -> Session:
        answer = await self.ask(driver, at, wh, **changes)
        assert isinstance(answer, Promise), answer
        return answer.session

    def fund(self, driver: Driver, units: int, escrow: FakeEscrow | None = None) -> None:
        """Put money into the driver's tab, as a deposit would; by default the site's own."""
        escrow = escrow or self.escrow
        tab = escrow.tabs.get(driver.address, EMPTY)
        escrow.tabs[driver.address] = Tab(tab.spent, tab.ceiling + units, tab.exit_at, tab.epoch)

    def escrow_of(self, session: Session) -> FakeEscrow:
        """Give the escrow that a session is paid by."""
        return self.flex if session.terms.escrow == CONTRACTS.flex_tab else self.escrow

    def voucher(self, driver: Driver, session: Session, **changes: Any) -> tuple[int, int, bytes]:
        """Give epoch, cumulative and signature of the voucher for a session's budget."""
        terms = session.terms
        values: dict[str, Any] = {
            "payee": OPERATOR.payee.address,
            "epoch": terms.epoch,
            "cumulative": terms.base + terms.budget,
        }
        voucher = Voucher(**(values | changes))
        return voucher.epoch, voucher.cumulative, driver.sign(voucher, terms.escrow)

    async def pay(self, driver: Driver, session: Session) -> Session:
        self.fund(driver, session.terms.budget, self.escrow_of(session))
        return await self.payments.voucher(session.id, *self.voucher(driver, session))

    async def stop_word(self, driver: Driver, session: Session, *, late_s: int = 0) -> Session:
        at = int(self.clock.now().timestamp()) - late_s
        signature = driver.sign(StopRequest(session.id.to_bytes32(), at), session.terms.escrow)
        return await self.payments.stop(session.id, at, signature)

    def plugged_in(self, session: Session, **changes: Any) -> StartedTransaction:
        """Give the start that the session's station would send now."""
        ref = session.terms.connector
        values: dict[str, Any] = {
            "connector": ref,
            "id_tag": session.id_tag,
            "at": self.clock.now(),
            "meter_start": Wh(self.registers.setdefault(ref, 1_000)),
        }
        return StartedTransaction(**(values | changes))

    async def begin(self, session: Session, **changes: Any) -> StartAnswer:
        return await self.events.started(self.plugged_in(session, **changes))

    async def charging(self, driver: Driver, at: Place, wh: int = 5_000, **changes: Any) -> Session:
        """Go all the way to a running transaction."""
        session = await self.pay(driver, await self.promised(driver, at, wh, **changes))
        answer = await self.begin(session)
        assert answer.accepted
        return await self.now(session)

    async def measure(self, session: Session, register: int, at: datetime | None = None, **more: Any) -> None:
        """Let the station send one meter value of its transaction."""
        await self._let_flow(session, register)
        self.registers[session.terms.connector] = register
        sample = MeterSample(at or self.clock.now(), Wh(register), **more)
        await self.events.metered(session.terms.connector, session.transaction_id, [sample])

    async def end(self, session: Session, register: int, **changes: Any) -> Session:
        """Let the station end its transaction."""
        await self._let_flow(session, register)
        self.registers[session.terms.connector] = register
        await self.events.stopped(self.stop_of(session, register, **changes))
        return await self.now(session)

    def stop_of(self, session: Session, register: int, **changes: Any) -> StoppedTransaction:
        """Give the end that the session's station would send now."""
        assert session.transaction_id is not None
        values: dict[str, Any] = {
            "station": session.terms.connector.station,
            "transaction_id": session.transaction_id,
            "at": self.clock.now(),
            "meter_stop": Wh(register),
            "reason": "EVDisconnected",
        }
        return StoppedTransaction(**(values | changes))

    async def _let_flow(self, session: Session, register: int) -> None:
        """Let time pass, if none has, in which so much energy can have flowed."""
        ref = session.terms.connector
        async with self.database.begin() as unit:
            before = await unit.meter_register(ref)
        place = self.directory.by_ref(ref)
        if before is not None and place is not None and is_register(Wh(register)):
            needed = timedelta(hours=max(0, register - before[1]) / place.connector.rating)
            if most_growth(place.connector.rating, self.clock.now() - before[0]) < register - before[1]:
                self.clock.move(before[0] + needed - self.clock.now())

    async def says(self, at: Place, status: ConnectorStatus) -> None:
        await self.events.status(at.connector.ref, status, "NoError", self.clock.now())

    async def now(self, session: Session | SessionId) -> Session:
        """Read a session again."""
        id = session if isinstance(session, SessionId) else session.id
        async with self.database.begin() as unit:
            found = await unit.session(id)
        assert found is not None
        return found

    async def sessions(self, *, open_only: bool = True) -> list[Session]:
        async with self.database.begin() as unit:
            return list(await unit.sessions(open_only=open_only))

    async def settled(self, session: Session) -> Session:
        """Wait until nothing more is owed for anybody, and read the session."""
        await eventually(self.owes_nothing)
        return await self.now(session)

    async def owes_nothing(self) -> bool:
        return not await self.owed()

    async def is_in(self, session: Session, state: State) -> bool:
        return (await self.now(session)).state is state

    async def events_of(self, session: Session) -> list[str]:
        async with self.database.begin() as unit:
            return [row.event.value for row in (await unit.journals([session.id]))[session.id]]

    async def owed(self) -> list[str]:
        async with self.database.begin() as unit:
            return [effect.kind.value for effect in await unit.pending_effects()]

    async def document(self, session: Session, format: str) -> bytes:
        async with self.database.begin() as unit:
            raw = await unit.document(session.id, format)
        assert raw is not None
        return raw

    def trust(self) -> Trust:
        return Trust(
            chain_ref(CONTRACTS),
            frozenset({OPERATOR.payee.address}),
            frozenset({OPERATOR.notary}),
            {one.meter: OPERATOR.gateway.address for one in self.places},
            CONTRACTS.flex_money,
        )


@asynccontextmanager
async def running(*services: AsyncService) -> AsyncIterator[None]:
    """Run services while the block lasts; what one of them raises is raised at its end."""
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.005)


_template: Path | None = None


async def _migrated() -> Path:
    """Give an empty database, made once for all tests: that takes longer than most of them."""
    global _template
    if _template is None:
        directory = Path(tempfile.mkdtemp(prefix="evmesh-state-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        database = Database(f"sqlite+aiosqlite:///{directory / 'state.db'}")
        await database.migrate()
        await database.close()
        _template = directory / "state.db"
    return _template


def _money(
    address: Address, escrow: Any, refills: Callable[[Address], RefillClaims | None], symbol: str = ""
) -> Money:
    relay = FakeRelay(escrow) if isinstance(escrow, FakeEscrow) else escrow
    return Money(address, escrow, relay, escrow.balance, refills(address), symbol=symbol)


@asynccontextmanager
async def open_world(
    directory: Path,
    *,
    bays: int = 4,
    capacity: int = 16_000,
    price_at: Callable[[datetime], int] = dear_morning,
    rating: W = RATING,
    phases: int = 1,
    clock: HandClock | None = None,
    randomness: Randomness = secrets.token_bytes,
    admits: bool = False,
    ocmf_key: bytes = b"",
    escrow: FakeEscrow | None = None,
    flex: FakeEscrow | None = None,
    refills: Callable[[Address], RefillClaims | None] = lambda _: None,
    notary: FakeNotary | None = None,
    deposits: FakeDepositChain | None = None,
    real_deposits: DepositChain | None = None,
    deposit_addresses: Sequence[Address] = (),
    from_block: int = 0,
    transfer_policy: TransferPolicy = TransferPolicy(),  # noqa: B008 - frozen
    wired: Group | None = None,
) -> AsyncIterator[World]:
    """Open the platform on a directory's database, going on from what is there.

    `admits` lets the control loop say whether a charge may begin; without it, it always may.
    """
    prepare()  # as the platform does, so that no answer waits for it
    clock = clock or HandClock()
    if not (directory / "state.db").exists():
        shutil.copy(await _migrated(), directory / "state.db")
    database = Database(f"sqlite+aiosqlite:///{directory / 'state.db'}")
    reached: list[str] = []
    order: list[str] = []
    places = tuple(place(n, "yard", rating, phases, ocmf_key) for n in range(1, bays + 1))
    if deposit_addresses:
        places = tuple(
            replace(one, deposit_address=address)
            for one, address in zip(places, deposit_addresses, strict=True)
        )
    group = wired or Group("yard", W(capacity), places)
    directory_ = Directory((group,))
    transitions = Transitions(database, clock, reached.append)
    live = LiveState()
    live.online |= directory_.stations
    caps = GroupCaps(transitions, clock, directory_)
    await caps.load()
    sources = Sources(directory_, clock)
    supply = flat_tariff_supply(price_at, caps, sources)
    log = ScheduleLog(StreamLog(randomness), bytes(32))
    planner = Planner(directory_, supply, live, SIGNATURES.keccak256, caps, log, sources)
    stations, bus = FakeStations(), FakeBus()
    escrow = escrow or FakeEscrow(OPERATOR.payee.address, OPERATOR.domain, clock, order=order)
    notary = notary or FakeNotary(order=order)
    flex = flex or FakeEscrow(OPERATOR.payee.address, CONTRACTS.money(CONTRACTS.flex_tab), clock, order=order)
    escrows = Escrows(
        _money(CONTRACTS.charge_tab, escrow, refills), _money(CONTRACTS.flex_tab, flex, refills, "FLEX")
    )
    tabs = TabMemory(transitions, clock, escrows, OPERATOR)
    meter_log = MeterLog(OPERATOR, SIGNATURES, randomness)
    signed = SignedMeters(directory_, meter_log, EcdsaMeterSignatures())
    receipts = Receipts(directory_, OPERATOR, SIGNATURES, signed)
    requests = Requests(
        transitions,
        directory_,
        planner,
        live,
        tabs,
        SIGNATURES,
        OPERATOR,
        randomness,
        escrows,
    )
    late = LateVouchers(receipts, requests.offer_of)
    streaming = Streaming(transitions, directory_, tabs, SIGNATURES, OPERATOR, late.bill)
    payments = Payments(transitions, directory_, planner, tabs, SIGNATURES, OPERATOR, live, streaming)
    events = StationEvents(
        transitions,
        directory_,
        live,
        meter_log,
        requests,
        receipts,
        StateFeed(bus, directory_),
        clock,
        signed,
    )
    control = Control(transitions, clock, directory_, planner, supply, live, stations, caps, sources)
    settlements = Settlements(OPERATOR, receipts)
    deposits = deposits or FakeDepositChain(
        frozenset(one.deposit_address for one in directory_.places), clock
    )
    chain = real_deposits or deposits
    payouts = DepositPayouts(transitions, directory_, OPERATOR, chain, SIGNATURES)
    transfers = Transfers(
        transitions,
        directory_,
        planner,
        requests,
        chain,
        SIGNATURES,
        randomness,
        transfer_policy,
        RETURN_GAS,
        live,
        TransferTermsDesk(transitions, directory_, OPERATOR, receipts.sign),
        DepositDesk(OPERATOR, receipts.sign),
    )
    world_may_begin: Callable[[Session], bool] = control.may_begin if admits else lambda _: True
    try:
        yield World(
            clock=clock,
            database=database,
            transitions=transitions,
            directory=directory_,
            live=live,
            planner=planner,
            requests=requests,
            tabs=tabs,
            payments=payments,
            receipts=receipts,
            events=events,
            effects=Effects(
                transitions,
                OPERATOR,
                stations,
                escrows,
                notary,
                settlements,
                world_may_begin,
                deposits=DepositSettling(payouts, settlements),
            ),
            deposits=deposits,
            transfers=transfers,
            watch=TransferWatch(transitions, directory_, chain, transfers, live, from_block=from_block),
            returns=DepositReturns(transitions, payouts),
            caretaker=Caretaker(transitions, clock, live, payments, events),
            control=control,
            caps=caps,
            stations=stations,
            escrow=escrow,
            flex=flex,
            escrows=escrows,
            notary=notary,
            bus=bus,
            sources=sources,
            supply=supply,
            reached=reached,
        )
    finally:
        await database.close()

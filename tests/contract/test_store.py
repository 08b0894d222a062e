"""The ports `Store` and `TransactionJournal` on real database files: what was committed stays, whole."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.exc
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, make_url, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.errors import Unavailable
from evmesh.domain.evidence import NotaryLeaf, RefusalRecord, StoredPlan
from evmesh.domain.ids import Address, ConnectorRef, SessionId, StationId
from evmesh.domain.money import MAX_UNITS, Price
from evmesh.domain.sessions import ChargeTerms, EffectKind, Event, JournalRow, Session, State, Way
from evmesh.domain.stations import ConnectorStatus, StartedTransaction, StoppedTransaction
from evmesh.domain.units import Wh
from evmesh.store import migrations, schema
from evmesh.store.chain import ChainJournal
from evmesh.store.database import NEWEST, Database
from evmesh.store.schema import Instant, metadata

NOON = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
HERE = ConnectorRef(StationId("CP-1"), 1)
SENDER = Address("0x" + "5" * 40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.migrate()
    yield database
    await database.close()


def session_id(number: int) -> SessionId:
    return SessionId.make(1_780_000_000_000 + number, number.to_bytes(10, "big"))


def reserved(number: int = 1, **changes: Any) -> Session:
    terms = ChargeTerms(
        payer=Address("0x" + "4" * 40),
        connector=HERE,
        asset=7,
        arrival=NOON,
        departure=NOON + timedelta(hours=3),
        energy=Wh(9_000),
        flexible=True,
        price=Price(350_000),
        budget=3_150_000,
        base=0,
        epoch=0,
        escrow=Address("0x" + "c7" * 20),
    )
    session = Session(
        id=session_id(number),
        state=State.RESERVED,
        terms=terms,
        id_tag=f"TAG{number:017}",
        request_signature=b"\1" * 64,
        request_nonce=number.to_bytes(32, "big"),
        request_deadline=1_780_000_600,
        max_cost=4_000_000,
        offer_signature=b"\2" * 64,
        plan_sha256="ab" * 32,
        voucher_signature=None,
        created_at=NOON,
        changed_at=NOON,
    )
    return replace(session, **changes)


async def again(path: Path) -> Database:
    """Open the same file as another process would."""
    return Database(f"sqlite+aiosqlite:///{path}")


class Trouble(Exception):
    pass


# --- what fits into a column


POSTGRESQL = make_url("postgresql://").get_dialect()()
_BEYOND_32_BITS = {
    "sessions": {"asset", "energy_wh", "offered_energy", "epoch", "price", "request_deadline"},
    "places": {"asset", "price"},
    "refusals": {"asset", "energy_wh"},
    "chain_transactions": {"nonce", "block", "gas_used"},
    "transfers": {"block", "asset"},
    "deposits": {"asset", "due_block", "returned_block"},
    "deposit_addresses": {"asset"},
    "deposit_cursor": {"block"},
    "transfer_terms": {"asset"},
}
"""What is unsigned in a signed type or on chain, or counts seconds: PostgreSQL's INTEGER ends at 2^31 - 1."""


@pytest.mark.parametrize("table", sorted(_BEYOND_32_BITS))
def test_what_may_pass_31_bits_has_room_on_every_database(table: str) -> None:
    definition = str(CreateTable(metadata.tables[table]).compile(dialect=POSTGRESQL))
    big = {line.split()[0] for line in definition.splitlines() if " BIGINT" in line}
    assert big == _BEYOND_32_BITS[table]


async def test_the_largest_numbers_of_an_offer_come_back_as_they_were(store: Database) -> None:
    session = reserved(request_deadline=2**40)
    terms = replace(session.terms, epoch=2**32 - 1, price=Price(2**32 - 1), energy=Wh(2**32 - 1), asset=2**62)
    session = replace(session, terms=terms)
    async with store.begin() as unit:
        await unit.add_session(session, "accepted")
        assert await unit.session(session.id) == session


async def test_sessions_that_ended_unpaid_are_found_by_when(store: Database) -> None:
    hour = timedelta(hours=1)
    async with store.begin() as unit:
        for number, state in enumerate((State.EXPIRED, State.SETTLED, State.EXPIRED, State.EXPIRED)):
            await unit.add_session(reserved(number, state=state, changed_at=NOON + number * hour), "accepted")
        assert [one.id for one in await unit.expired(NOON)] == [session_id(2), session_id(3)]
        assert [one.id for one in await unit.expired(NOON + 2 * hour)] == [session_id(3)]


# --- units of work


async def test_what_a_unit_wrote_is_there_for_the_next_process(store: Database, path: Path) -> None:
    async with store.begin() as unit:
        await unit.add_session(reserved(), "accepted")
    other = await again(path)
    async with other.begin() as unit:
        assert await unit.session(session_id(1)) == reserved()
    await other.close()


async def test_an_error_in_the_block_leaves_nothing(store: Database) -> None:
    async def fail() -> None:
        async with store.begin() as unit:
            await unit.add_session(reserved(), "accepted")
            await unit.set_status(HERE, ConnectorStatus.CHARGING, "NoError", NOON)
            raise Trouble

    with pytest.raises(Trouble):
        await fail()
    async with store.begin() as unit:
        assert await unit.session(session_id(1)) is None
        assert await unit.statuses() == {}
        assert (await unit.journals([session_id(1)]))[session_id(1)] == []


async def test_a_unit_that_is_cancelled_leaves_nothing_and_the_next_one_works(store: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with store.begin() as unit:
            await unit.add_session(reserved(), "accepted")
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.begin() as unit:
        assert await unit.session(session_id(1)) is None


async def test_units_are_serial(store: Database) -> None:
    async def count_up() -> None:
        async with store.begin() as unit:
            before = await unit.meter_register(HERE)
            await asyncio.sleep(0)
            await unit.set_register(HERE, NOON, Wh((before[1] if before else 0) + 1))

    await asyncio.gather(*(count_up() for _ in range(30)))
    async with store.begin() as unit:
        assert await unit.meter_register(HERE) == (NOON, 30)


async def test_a_database_that_another_process_holds_is_unavailable(store: Database, path: Path) -> None:
    async with store.begin() as unit:
        await unit.execute(text("PRAGMA busy_timeout=50"))  # rather than five seconds
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"store\.unavailable"):
        async with store.begin() as unit:
            await unit.last_instant()
    holder.execute("ROLLBACK")
    holder.close()
    async with store.begin() as unit:
        assert await unit.last_instant() is None


# --- sessions


units = st.integers(0, MAX_UNITS)
instants = st.integers(0, 2**52).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
signatures = st.binary(min_size=64, max_size=65)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    terms = ChargeTerms(
        payer=Address("0x" + draw(st.binary(min_size=20, max_size=20)).hex()),
        connector=ConnectorRef(StationId("CP=|@.-_9"), draw(st.integers(1, 99))),
        asset=draw(st.integers(1, 2**35 - 1)),
        arrival=draw(instants),
        departure=draw(instants),
        energy=Wh(draw(st.integers(0, 2**31 - 1))),
        flexible=draw(st.booleans()),
        price=Price(draw(st.integers(0, 2**31 - 1))),
        budget=draw(units),
        base=draw(units),
        epoch=draw(st.integers(0, 2**32 - 1)),
        escrow=Address("0x" + draw(st.binary(min_size=20, max_size=20)).hex()),
        way=draw(st.sampled_from(Way)),
    )
    register = st.none() | st.integers(0, 2**40).map(Wh)
    return Session(
        id=SessionId.make(draw(st.integers(0, 2**48 - 1)), draw(st.binary(min_size=10, max_size=10))),
        state=draw(st.sampled_from(State)),
        terms=terms,
        id_tag=draw(st.text("ABCDEFGH0123456789", min_size=20, max_size=20)),
        request_signature=draw(signatures),
        request_nonce=draw(st.binary(min_size=32, max_size=32)),
        request_deadline=draw(st.integers(0, 2**40)),
        max_cost=draw(units),
        offer_signature=draw(signatures),
        plan_sha256=draw(st.binary(min_size=32, max_size=32)).hex(),
        voucher_signature=draw(st.none() | signatures),
        created_at=draw(instants),
        changed_at=draw(instants),
        deadline=draw(st.none() | instants),
        transaction_id=draw(st.none() | st.integers(1, 2**31 - 1)),
        started_at=draw(st.none() | instants),
        stopped_at=draw(st.none() | instants),
        meter_start=draw(register),
        meter_last=draw(register),
        due=draw(st.none() | units),
        refund=draw(st.none() | units),
        voucher_cumulative=draw(st.none() | units),
        offered_energy=draw(st.none() | st.integers(0, 2**31 - 1).map(Wh)),
        offered_budget=draw(st.none() | units),
        cause=draw(st.text(max_size=40).filter(str.isprintable)),
        flags=tuple(
            draw(st.lists(st.sampled_from(["meter.register_went_back", "promise.short"]), max_size=2))
        ),
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "empty.db"

    async def make() -> None:
        database = Database(f"sqlite+aiosqlite:///{file}")
        await database.migrate()
        await database.close()

    asyncio.run(make())
    return file


@settings(max_examples=40)
@given(session=sessions())
def test_every_field_of_a_session_comes_back_as_it_was(empty: Path, session: Session) -> None:
    async def round_trip() -> None:
        database = Database(f"sqlite+aiosqlite:///{empty}")
        touched = replace(session, id=session_id(1))
        try:
            async with database.begin() as unit:
                await unit.add_session(reserved(), "accepted")
                await unit.touch_session(touched)
                found = await unit.session(session_id(1))
                assert found == touched
                assert type(found.state) is State
                await unit.execute(schema.sessions.delete())  # empty again for the next example
                await unit.add_session(session, "accepted")
                assert await unit.session(session.id) == session
                await unit.execute(schema.sessions.delete())
        finally:
            await database.close()

    asyncio.run(round_trip())


async def test_money_past_the_floats_is_kept_as_text(store: Database, path: Path) -> None:
    async with store.begin() as unit:
        await unit.add_session(reserved(due=MAX_UNITS, refund=2**53 + 1), "accepted")
    with sqlite3.connect(path) as raw:
        row = raw.execute("SELECT due, refund, typeof(due), typeof(budget) FROM sessions").fetchone()
    assert row == (str(MAX_UNITS), str(2**53 + 1), "text", "text")


async def test_a_session_is_found_by_its_tag_and_by_its_request(store: Database) -> None:
    one, two = reserved(1), reserved(2)
    async with store.begin() as unit:
        await unit.add_session(one, "accepted")
        await unit.add_session(two, "accepted")
        assert await unit.session_of_tag(two.id_tag) == two
        assert await unit.session_of_tag("nobody") is None
        assert await unit.session_of_request(one.terms.payer, one.request_nonce) == one
        assert await unit.session_of_request(SENDER, one.request_nonce) is None
        assert await unit.session_of_request(one.terms.payer, b"\0" * 32) is None


@pytest.mark.parametrize("same", ["id_tag", "request_nonce", "id"])
async def test_what_must_be_unique_is_refused_the_second_time(store: Database, same: str) -> None:
    one = reserved(1)

    async def add_both() -> None:
        async with store.begin() as unit:
            await unit.add_session(one, "accepted")
            await unit.add_session(replace(reserved(2), **{same: getattr(one, same)}), "accepted")

    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await add_both()
    async with store.begin() as unit:
        assert await unit.sessions(open_only=False) == []


async def test_sessions_come_newest_first_and_the_finished_ones_only_when_asked_for(store: Database) -> None:
    async with store.begin() as unit:
        for number, state in enumerate(State, 1):
            await unit.add_session(reserved(number, state=state), "made")
        found = await unit.sessions(open_only=False)
        assert [one.id for one in found] == [session_id(n) for n in range(len(State), 0, -1)]
        still_open = {one.state for one in await unit.sessions(open_only=True)}
        assert still_open == set(State) - {State.SETTLED, State.EXPIRED, State.REFUNDED}
        assert len(await unit.sessions(open_only=False, limit=3)) == 3


async def test_a_transition_is_a_row_a_journal_row_and_what_is_owed(store: Database) -> None:
    moved = reserved(state=State.METERED)
    journal = JournalRow(0, NOON, moved.id, Event.METER, State.CHARGING, State.METERED, "unplugged")
    async with store.begin() as unit:
        await unit.add_session(reserved(), "accepted")
        await unit.save_session(moved, journal, [EffectKind.ANCHOR, EffectKind.CLAIM])
    async with store.begin() as unit:
        rows = (await unit.journals([moved.id]))[moved.id]
        assert [(row.event, row.source, row.target, row.cause) for row in rows] == [
            (Event.RESERVE, None, State.RESERVED, "accepted"),
            (Event.METER, State.CHARGING, State.METERED, "unplugged"),
        ]
        assert rows[0].number < rows[1].number
        assert await unit.session(moved.id) == moved
        anchor, claim = await unit.pending_effects()
        assert (anchor.kind, claim.kind) == (EffectKind.ANCHOR, EffectKind.CLAIM)
        assert (anchor.session, anchor.created_at, anchor.attempts) == (moved.id, NOON, 0)


async def test_effects_stay_owed_in_order_until_they_are_done(store: Database) -> None:
    journal = JournalRow(0, NOON, session_id(1), Event.START, State.FUNDED, State.STARTING, "")
    async with store.begin() as unit:
        await unit.add_session(reserved(), "accepted")
        for kind in EffectKind:
            await unit.save_session(reserved(), journal, [kind])
        first, *others = await unit.pending_effects()
        await unit.effect_tried(first.number)
        await unit.effect_tried(first.number)
        await unit.effect_done(others[1].number)
    async with store.begin() as unit:
        left = await unit.pending_effects()
    assert [one.kind for one in left] == [kind for kind in EffectKind if kind is not others[1].kind]
    assert [one.attempts for one in left] == [2] + [0] * (len(EffectKind) - 2)


async def test_journals_of_no_session_are_none(store: Database) -> None:
    async with store.begin() as unit:
        assert await unit.journals([]) == {}
        assert await unit.documented([], "evmesh.receipt/1") == frozenset()


# --- stations


def start(**changes: Any) -> StartedTransaction:
    return replace(StartedTransaction(HERE, "A" * 20, NOON, Wh(1_000)), **changes)


async def test_the_same_start_is_the_same_transaction(store: Database) -> None:
    async with store.begin() as unit:
        first = await unit.start_transaction(start(), session_id(1))
    async with store.begin() as unit:
        # sent again after a restart of the station, in another zone's words
        local = NOON.astimezone(timezone(timedelta(hours=2)))
        assert await unit.start_transaction(start(at=local), None) == first
    assert (first.session, first.stop, first.start) == (session_id(1), None, start())


@pytest.mark.parametrize(
    "changes",
    [
        {"connector": ConnectorRef(StationId("CP-1"), 2)},
        {"connector": ConnectorRef(StationId("CP-2"), 1)},
        {"id_tag": "B" * 20},
        {"at": NOON + timedelta(microseconds=1)},
        {"meter_start": Wh(1_001)},
    ],
)
async def test_another_content_is_another_transaction(store: Database, changes: dict[str, Any]) -> None:
    async with store.begin() as unit:
        first = await unit.start_transaction(start(), None)
        other = await unit.start_transaction(start(**changes), None)
    assert other.id != first.id


async def test_starts_that_come_at_once_are_one_transaction(store: Database) -> None:
    async def begin() -> int:
        async with store.begin() as unit:
            return (await unit.start_transaction(start(), None)).id

    assert len(set(await asyncio.gather(*(begin() for _ in range(20))))) == 1


async def test_transaction_ids_are_never_used_again(store: Database, path: Path) -> None:
    async with store.begin() as unit:
        first = await unit.start_transaction(start(), None)
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM ocpp_transactions")
    async with store.begin() as unit:
        assert (await unit.start_transaction(start(), None)).id > first.id


async def test_the_first_stop_stays(store: Database) -> None:
    async with store.begin() as unit:
        made = await unit.start_transaction(start(), None)
        stop = StoppedTransaction(HERE.station, made.id, NOON, Wh(5_000), "Local")
        await unit.stop_transaction(stop)
        await unit.stop_transaction(replace(stop, meter_stop=Wh(9_000), reason="Remote"))
        found = await unit.transaction(HERE.station, made.id)
    assert found is not None
    assert found.stop == stop


async def test_a_stations_transaction_is_not_anothers(store: Database) -> None:
    async with store.begin() as unit:
        made = await unit.start_transaction(start(), None)
        stranger = StationId("CP-9")
        assert await unit.transaction(stranger, made.id) is None
        await unit.stop_transaction(StoppedTransaction(stranger, made.id, NOON, Wh(1), "Local"))
        found = await unit.transaction(HERE.station, made.id)
    assert found is not None
    assert found.stop is None


async def test_connectors_keep_what_they_said_last(store: Database) -> None:
    there = ConnectorRef(StationId("CP-1"), 2)
    async with store.begin() as unit:
        assert await unit.meter_register(HERE) is None
        await unit.set_register(HERE, NOON, Wh(10))
        assert await unit.statuses() == {}
        await unit.set_status(HERE, ConnectorStatus.PREPARING, "NoError", NOON)
        await unit.set_status(there, ConnectorStatus.FAULTED, "GroundFailure", NOON)
        await unit.set_status(HERE, ConnectorStatus.CHARGING, "NoError", NOON)
        await unit.set_register(HERE, NOON, Wh(2**40))
        assert await unit.statuses() == {HERE: ConnectorStatus.CHARGING, there: ConnectorStatus.FAULTED}
        assert await unit.meter_register(HERE) == (NOON, 2**40)
        assert await unit.meter_register(there) is None


async def test_the_last_instant_is_the_newest_of_any_record(store: Database) -> None:
    async with store.begin() as unit:
        assert await unit.last_instant() is None
        await unit.add_session(reserved(), "accepted")
        assert await unit.last_instant() == NOON
        await unit.set_status(HERE, ConnectorStatus.CHARGING, "", NOON + timedelta(seconds=5))
        assert await unit.last_instant() == NOON + timedelta(seconds=5)
        await unit.set_register(HERE, NOON + timedelta(seconds=9), Wh(1))
        assert await unit.last_instant() == NOON + timedelta(seconds=9)
        await unit.set_status(HERE, ConnectorStatus.CHARGING, "", NOON + timedelta(microseconds=9_999_999))
        assert await unit.last_instant() == NOON + timedelta(microseconds=9_999_999)


# --- evidence


def leaf(index: int, meter: str = "NL*EVM*E1", seq: int = 0) -> NotaryLeaf:
    mark = bytes([index % 256]) * 32
    return NotaryLeaf(index, meter, seq or index + 1, mark, mark, b"payload\0\xff", mark)


async def test_leaves_are_read_back_by_meter_by_session_and_in_order(store: Database) -> None:
    async with store.begin() as unit:
        await unit.append_leaf(leaf(0), session_id(1))
        await unit.append_leaf(leaf(1, "NL*EVM*E2", 1), session_id(2))
        await unit.append_leaf(leaf(2, seq=2), session_id(1))
        await unit.append_leaf(leaf(3, seq=3), None)
    async with store.begin() as unit:
        assert await unit.leaves_of("NL*EVM*E1") == [leaf(3, seq=3)]
        assert [one.seq for one in await unit.leaves_of("NL*EVM*E1", 9)] == [3, 2, 1]
        assert await unit.leaves_of("NL*EVM*E9") == []
        assert await unit.session_leaves(session_id(1)) == [leaf(0), leaf(2, seq=2)]
        assert await unit.leaf_hashes() == [bytes([n]) * 32 for n in range(4)]
        assert await unit.leaf_hashes(3) == [b"\3" * 32]


@pytest.mark.parametrize("again_", [leaf(0, "NL*EVM*E2"), leaf(1, seq=1)])
async def test_a_leaf_never_takes_anothers_place(store: Database, again_: NotaryLeaf) -> None:
    async with store.begin() as unit:
        await unit.append_leaf(leaf(0, seq=1), None)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            await unit.append_leaf(again_, None)


async def test_a_head_is_kept_per_session(store: Database) -> None:
    async with store.begin() as unit:
        assert await unit.head_of(session_id(1)) is None
        await unit.save_head(session_id(1), 5, b"\7" * 32)
        assert await unit.head_of(session_id(1)) == (5, b"\7" * 32)
        assert await unit.head_of(session_id(2)) is None


def plan(number: int, start_: datetime = NOON, group: str = "yard") -> StoredPlan:
    return StoredPlan(
        problem_sha256=f"{number:064x}",
        schedule_sha256=f"{number + 1000:064x}",
        group=group,
        made_at=NOON,
        start=start_,
        problem=b'{"n":%d}' % number,
        schedule=b"\0\xff",
        pseudonyms={session_id(1).text: "ab12"},
    )


async def test_the_newest_plan_of_a_group_or_of_a_step_is_found(store: Database) -> None:
    later = NOON + timedelta(minutes=15)
    async with store.begin() as unit:
        assert await unit.plan("yard") is None
        for one in (plan(1), plan(2), plan(3, later), plan(4, later, "street"), plan(5)):
            await unit.save_plan(one)
        assert await unit.plan("yard") == plan(5)
        assert await unit.plan("yard", later) == plan(3, later)
        assert await unit.plan("street") == plan(4, later, "street")
        assert await unit.plan("yard", later + timedelta(hours=1)) is None
        assert await unit.plan_of(plan(2).schedule_sha256) == plan(2)
        assert await unit.plan_of("00" * 32) is None


async def test_the_first_document_stays(store: Database) -> None:
    async with store.begin() as unit:
        await unit.save_document(session_id(1), "evmesh.receipt/1", b"first\0")
        await unit.save_document(session_id(1), "evmesh.receipt/1", b"second")
        await unit.save_document(session_id(1), "evmesh.settlement/1", b"other")
        assert await unit.document(session_id(1), "evmesh.receipt/1") == b"first\0"
        assert await unit.document(session_id(2), "evmesh.receipt/1") is None
        both = [session_id(1), session_id(2)]
        assert await unit.documented(both, "evmesh.receipt/1") == {session_id(1)}


async def test_refusals_come_back_whole_newest_first(store: Database) -> None:
    no = RefusalRecord(
        at=NOON,
        asset=3,
        payer=SENDER,
        nonce=b"\1" * 32,
        energy=Wh(20_000),
        departure=NOON + timedelta(hours=2),
        code="request.refused",
        steps=(0, 1, 5),
        begins=NOON,
        ends=NOON + timedelta(minutes=90),
        deficit=Wh(17),
        offers=((Wh(500), NOON), (Wh(20_000), NOON + timedelta(hours=5))),
        problem=b"{}",
        schedule=b"\xff",
    )
    bare = replace(no, nonce=b"\2" * 32, steps=(), begins=None, ends=None, offers=())
    async with store.begin() as unit:
        await unit.add_refusal(no)
        await unit.add_refusal(bare)
        newest, older = await unit.refusals(10)
        assert (replace(newest, number=0), replace(older, number=0)) == (bare, no)
        assert await unit.refusals(1) == [newest]
        assert await unit.refusal(older.number) == older
        assert await unit.refusal(10**6) is None


# --- the schema


async def test_the_migrations_make_exactly_the_tables_that_the_code_knows(store: Database) -> None:
    def differences(connection: Connection) -> Any:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, metadata)

    async with store._engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def test_the_newest_migration_is_the_one_that_the_code_wants() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [NEWEST]


async def test_migrating_again_changes_nothing(store: Database) -> None:
    async with store.begin() as unit:
        await unit.add_session(reserved(), "accepted")
    await store.migrate()
    async with store.begin() as unit:
        assert await unit.session(session_id(1)) == reserved()


async def test_a_commit_survives_a_power_cut(store: Database) -> None:
    async with store._engine.connect() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            found = await connection.exec_driver_sql(f"PRAGMA {pragma}")
            assert found.scalar() == value


# --- the journal of transactions


def sent(nonce: int, key: str = "", outcome: Mined | None = None) -> JournaledTransaction:
    return JournaledTransaction(
        key or f"claim:{nonce}", SENDER, nonce, b"\xf8" + bytes([nonce]), f"0x{nonce:064x}", outcome
    )


@pytest.fixture
def journal(store: Database) -> ChainJournal:
    return ChainJournal(store)


async def test_a_transaction_is_durable_before_it_is_sent(journal: ChainJournal, path: Path) -> None:
    await journal.write(sent(1))
    other = await again(path)
    assert await ChainJournal(other).find("claim:1") == sent(1)
    await other.close()
    assert await journal.find("claim:2") is None


async def test_what_is_not_mined_is_given_in_nonce_order_for_its_sender(journal: ChainJournal) -> None:
    for nonce in (3, 1, 2):
        await journal.write(sent(nonce))
    await journal.write(replace(sent(9), sender=Address("0x" + "6" * 40)))
    await journal.mined("claim:2", Mined(f"0x{2:064x}", 40, 21_000))
    assert [one.nonce for one in await journal.unmined(SENDER)] == [1, 3]


async def test_what_was_mined_from_a_block_on_can_be_sent_again(journal: ChainJournal) -> None:
    for nonce, block in ((1, 10), (2, 12), (3, 11), (4, 12)):
        await journal.write(sent(nonce))
        await journal.mined(f"claim:{nonce}", Mined(f"0x{nonce:064x}", block, 30_000))
    await journal.write(sent(5))
    assert [one.nonce for one in await journal.since_block(SENDER, 11)] == [2, 3, 4]
    found = await journal.find("claim:2")
    assert found is not None
    assert found.outcome == Mined(f"0x{2:064x}", 12, 30_000)


async def test_a_purpose_has_one_transaction(journal: ChainJournal) -> None:
    await journal.write(sent(1, "claim:a", Mined(f"0x{1:064x}", 7, 1)))
    await journal.write(sent(2, "claim:a"))
    assert await journal.find("claim:a") == sent(2, "claim:a")
    assert [one.nonce for one in await journal.unmined(SENDER)] == [2]


async def test_a_nonce_goes_to_one_transaction(journal: ChainJournal) -> None:
    await journal.write(sent(1, "claim:a"))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await journal.write(sent(1, "claim:b"))
    assert await journal.find("claim:a") == sent(1, "claim:a")


async def test_mined_transactions_are_listed_by_what_they_were_for(journal: ChainJournal) -> None:
    for nonce, key in ((1, "anchor:a"), (2, "anchor:b"), (3, "claim:a"), (4, "anchorXb"), (5, "anchor:c")):
        await journal.write(sent(nonce, key))
        if nonce != 5:
            await journal.mined(key, Mined(f"0x{nonce:064x}", nonce, 1))
    assert [one.key for one in await journal.with_prefix("anchor:", 10)] == ["anchor:b", "anchor:a"]
    assert [one.key for one in await journal.with_prefix("anchor:", 1)] == ["anchor:b"]


# --- a kill


async def test_a_writer_that_is_killed_leaves_whole_units_only(store: Database, path: Path) -> None:
    command = [sys.executable, "-m", "tests.drivers.store_writer", str(path), "5"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"in the middle\n"
    process.kill()
    await process.wait()
    other = await again(path)
    try:
        async with other.begin() as unit:
            found = await unit.sessions(open_only=False)
            register = await unit.meter_register(HERE)
            journals = await unit.journals([one.id for one in found])
    finally:
        await other.close()
    assert [one.id for one in found] == [session_id(number) for number in (5, 4, 3, 2, 1)]
    assert register == (NOON, 5)
    assert all(len(rows) == 1 for rows in journals.values())


def test_an_instant_of_the_first_year_comes_back_as_it_was_written() -> None:
    dialect = sqlite.dialect()
    first = datetime(1, 1, 1, tzinfo=UTC)
    text = Instant().process_bind_param(first, dialect)
    assert text == "0001-01-01T00:00:00.000000Z"
    assert Instant().process_result_value(text, dialect) == first

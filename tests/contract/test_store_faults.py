"""What grows, what repeats and what a newer release wrote: the store keeps its promises there too."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.errors import Refused
from evmesh.domain.evidence import RefusalRecord, StoredPlan
from evmesh.domain.ids import Address
from evmesh.domain.sessions import State
from evmesh.domain.units import Wh
from evmesh.store import refusals
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database
from tests.contract.test_store import reserved, session_id

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=15)
PAYER = Address("0x" + "5" * 40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.migrate()
    yield database
    await database.close()


def refusal(number: int, **changes: Any) -> RefusalRecord:
    record = RefusalRecord(
        at=NOON,
        asset=3,
        payer=PAYER,
        nonce=number.to_bytes(32, "big"),
        energy=Wh(20_000),
        departure=NOON + timedelta(hours=2),
        code="request.refused",
        steps=(0, 1),
        begins=NOON,
        ends=NOON + STEP,
        deficit=Wh(number),
        offers=(),
        problem=b"{}",
        schedule=b"{}",
    )
    return replace(record, **changes)


async def test_the_same_request_has_one_refusal(store: Database) -> None:
    async with store.begin() as unit:
        await unit.add_refusal(refusal(1))
    async with store.begin() as unit:
        await unit.add_refusal(refusal(1, at=NOON + timedelta(minutes=1), deficit=Wh(9)))
        await unit.add_refusal(refusal(1, payer=Address("0x" + "6" * 40)))
        found = await unit.refusals(10)
        first = await unit.refusal_of(PAYER, refusal(1).nonce)
    assert len(found) == 2
    assert first is not None
    assert replace(first, number=0) == refusal(1)
    async with store.begin() as unit:
        assert await unit.refusal_of(PAYER, refusal(2).nonce) is None


async def test_only_the_newest_refusals_are_kept(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KEPT", 5)
    async with store.begin() as unit:
        for number in range(1, 13):
            await unit.add_refusal(refusal(number))
        assert [one.deficit for one in await unit.refusals(100)] == [12, 11, 10, 9, 8]
        assert await unit.refusal_of(PAYER, refusal(7).nonce) is None


def plan(number: int, start: datetime = NOON, group: str = "yard") -> StoredPlan:
    return StoredPlan(
        problem_sha256=f"{number:064x}",
        schedule_sha256=f"{number + 1000:064x}",
        group=group,
        made_at=NOON,
        start=start,
        problem=b"{}",
        schedule=b"{}",
        pseudonyms={session_id(1).text: "ab12"},
    )


async def test_a_plan_that_was_in_force_before_is_in_force_again(store: Database) -> None:
    again = replace(plan(1), made_at=NOON + STEP)
    async with store.begin() as unit:
        for one in (plan(1), plan(2), again, replace(plan(1), group="street")):
            await unit.save_plan(one)
        assert await unit.plan("yard") == again
        assert await unit.plan("street") == replace(plan(1), group="street")
        found = await unit.plan_of(plan(1).schedule_sha256)
    assert found is not None
    assert found.schedule_sha256 == plan(1).schedule_sha256


async def test_the_plans_of_a_day_are_the_newest_of_each_step(store: Database) -> None:
    later, last = NOON + STEP, NOON + 2 * STEP
    async with store.begin() as unit:
        for one in (plan(1), plan(2, later), plan(3), plan(4, later, "street"), plan(5, last)):
            await unit.save_plan(one)
        assert await unit.plans("yard", NOON, last) == [plan(3), plan(2, later)]
        assert await unit.plans("yard", last + STEP, last + 2 * STEP) == []


async def test_no_open_session_is_ever_left_out(store: Database) -> None:
    async with store.begin() as unit:
        for number in range(1, 31):
            state = State.SETTLED if number > 10 else State.CHARGING
            await unit.add_session(reserved(number, state=state), "accepted")
        assert len(await unit.sessions(open_only=True, limit=5)) == 10
        assert len(await unit.sessions(open_only=False, limit=5)) == 5


async def test_the_sessions_of_a_day_are_those_that_began_on_it(store: Database) -> None:
    day = timedelta(days=1)
    starts = [
        None,
        NOON - timedelta(microseconds=1),
        NOON,
        NOON + day - timedelta(microseconds=1),
        NOON + day,
    ]
    async with store.begin() as unit:
        for number, start in enumerate(starts):
            await unit.add_session(reserved(number, started_at=start), "accepted")
        found = await unit.sessions_begun(NOON, NOON + day)
    assert [one.id for one in found] == [session_id(2), session_id(3)]


async def test_the_newest_of_a_kind_are_found_by_kind(store: Database) -> None:
    journal = ChainJournal(store)
    keys = ["anchor:a", "anchors:b", "claim:c", "anchor:d", "anchor:e", "salary:0x1:0", "salary:0x10:0"]
    for nonce, key in enumerate(keys):
        transaction = JournaledTransaction(key, PAYER, nonce, b"\xf8", f"0x{nonce:064x}", None)
        await journal.write(transaction)
        if key != "anchor:e":
            await journal.mined(key, Mined(transaction.tx_hash, nonce, 1))
    assert [one.key for one in await journal.newest("anchor", 10)] == ["anchor:d", "anchor:a"]
    assert [one.key for one in await journal.newest("anchor", 1)] == ["anchor:d"]
    assert [one.key for one in await journal.with_prefix("salary:0x1:", 10)] == ["salary:0x1:0"]


async def test_nothing_that_is_asked_often_reads_a_whole_table(store: Database) -> None:
    """SQLite says SCAN where it has no index to go by."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    engine = store._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    journal = ChainJournal(store)
    async with store.begin() as unit:
        await unit.sessions(open_only=True)
        await unit.sessions_begun(NOON, NOON + STEP)
        await unit.plans("yard", NOON, NOON + STEP)
        await unit.plan("yard")
        await unit.plan_of("ab" * 32)
        await unit.pending_effects()
        await unit.refusal_of(PAYER, b"\0" * 32)
        await unit.session_of_request(PAYER, b"\0" * 32)
        await unit.journals([session_id(1)])
    await journal.newest("anchor", 20)
    await journal.with_prefix("salary:0x1:", 20)
    await journal.unmined(PAYER)
    await journal.since_block(PAYER, 5)
    event.remove(engine, "before_cursor_execute", note)
    async with store._engine.connect() as connection:
        for statement, parameters in asked:
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [str(row._mapping["detail"]) for row in rows]
            assert not [step for step in steps if re.match(r"SCAN \w+$", step)], (statement, steps)
    assert len(asked) == 13


async def test_a_database_of_a_newer_release_is_left_alone_with_a_word(store: Database, path: Path) -> None:
    async with store.begin() as unit:
        await unit.execute(text("UPDATE alembic_version SET version_num = '9f00'"))
    await store.close()
    older = Database(f"sqlite+aiosqlite:///{path}")
    with pytest.raises(Refused, match=r"store\.newer_release.*9f00") as refused:
        await older.migrate()
    await older.close()
    assert "--data" in refused.value.do

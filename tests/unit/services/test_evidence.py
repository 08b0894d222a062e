"""Readings become evidence, and a metered session's receipt holds against everything at hand."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.merkle import MerkleLog
from evmesh.domain.readings import NO_LEAF, Reading, meter_leaf_hash
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.sessions import Session
from evmesh.domain.settlement import Settlement
from evmesh.domain.stations import MeterSample
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.services.receipts import chain_ref
from evmesh.services.settlements import Settlements
from evmesh.verify.case import PlanFiles
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import CHECKS, verify_receipt
from evmesh.verify.report import Status
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, open_world


async def charge(world: World, driver: Driver, bay: int = 0, wh: int = 3_000) -> Session:
    session = await world.charging(driver, world.places[bay], wh)
    first = session.meter_start or 0
    for part in (1, 2, 3):
        world.clock.move(timedelta(seconds=200))
        await world.measure(session, first + part * 400)
    world.clock.move(timedelta(seconds=50))
    return await world.end(session, first + 1_301)


async def plan_files(world: World, session: Session) -> PlanFiles:
    async with world.database.begin() as unit:
        stored = await unit.plan_of(session.plan_sha256)
    assert stored is not None
    return PlanFiles(stored.problem, stored.schedule)


async def test_a_receipt_holds_offline_with_trust_and_the_plans_files(world: World, driver: Driver) -> None:
    session = await charge(world, driver)
    raw = await world.document(session, Receipt.FORMAT)
    report = verify_receipt(raw, SIGNATURES, world.trust(), await plan_files(world, session))
    assert report.ok, report.failed()
    unchecked = [check.name for check in report.checks if check.status is Status.NOT_CHECKED]
    assert unchecked == [name for name, _ in CHECKS][-7:]
    receipt = Receipt.parse(raw)
    assert (receipt.energy, receipt.due) == (1_301, session.due)
    assert receipt.due == 1_301 * 350_000 // 1000
    assert receipt.curve == ((0, 1_000), (200, 1_400), (400, 1_800), (600, 2_200), (650, 2_301))


@pytest.mark.parametrize("bays", [(0,), (0, 2), (2, 0, 1)])
async def test_receipts_hold_in_whatever_order_cars_come(world: World, bays: tuple[int, ...]) -> None:
    for number, bay in enumerate(bays):
        session = await charge(world, Driver(f"driver {number}"), bay)
        raw = await world.document(session, Receipt.FORMAT)
        assert verify_receipt(raw, SIGNATURES, world.trust(), await plan_files(world, session)).ok


async def test_a_receipt_by_another_operator_is_not_trusted(world: World, driver: Driver) -> None:
    session = await charge(world, driver)
    raw = await world.document(session, Receipt.FORMAT)
    stranger = replace(world.trust(), payees=frozenset({driver.address}))
    failed = verify_receipt(raw, SIGNATURES, stranger).failed()
    assert [check.name for check in failed] == ["trusted payee"]


async def test_readings_are_signed_numbered_and_chained(world: World, driver: Driver) -> None:
    session = await charge(world, driver)
    async with world.database.begin() as unit:
        leaves = await unit.session_leaves(session.id)
        hashes = await unit.leaf_hashes()
        head = await unit.head_of(session.id)
    assert [leaf.seq for leaf in leaves] == [1, 2, 3, 4, 5]
    assert [leaf.prev_hash for leaf in leaves] == [NO_LEAF, *(leaf.hash for leaf in leaves[:-1])]
    assert len({leaf.salt for leaf in leaves}) == 5
    for leaf in leaves:
        reading = Reading.parse(leaf.payload)
        signed = digest(OPERATOR.domain, reading.to_sign(), SIGNATURES.keccak256)
        assert SIGNATURES.recover(signed, reading.signature) == OPERATOR.gateway.address
        again = meter_leaf_hash(leaf.meter, leaf.seq, leaf.salt, leaf.prev_hash, leaf.payload)
        assert again == leaf.hash == hashes[leaf.index]
    contexts = [Reading.parse(leaf.payload).context.value for leaf in leaves]
    assert contexts == ["start", "sample", "sample", "sample", "stop"]
    assert head == (5, MerkleLog(hashes).root())


async def test_a_meters_chain_goes_on_over_sessions_and_each_meter_has_its_own(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    await charge(world, driver, 0)
    await charge(world, neighbour, 1)
    again = await charge(world, Driver("third"), 0)
    async with world.database.begin() as unit:
        leaves = await unit.session_leaves(again.id)
        other = await unit.leaves_of(world.places[1].meter, limit=100)
    assert [leaf.seq for leaf in leaves] == [6, 7, 8, 9, 10]
    assert [leaf.seq for leaf in other] == [5, 4, 3, 2, 1]


async def test_evidence_goes_on_after_a_restart(world: World, driver: Driver, tmp_path: Path) -> None:
    session = await charge(world, driver)
    before = await world.document(session, Receipt.FORMAT)
    async with open_world(tmp_path, clock=world.clock) as again:
        assert await again.document(session, Receipt.FORMAT) == before
        later = await charge(again, Driver("next morning"), 0)
        raw = await again.document(later, Receipt.FORMAT)
        assert verify_receipt(raw, SIGNATURES, again.trust()).ok
        assert Receipt.parse(raw).tree.size == 10


async def test_several_values_within_a_second_leave_one_point_of_the_curve(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(timedelta(seconds=10))
    at = world.clock.now()
    for number in range(4):
        await world.measure(session, 1_100 + number, at=at + timedelta(milliseconds=100 * number))
    session = await world.end(session, 1_200, at=at + timedelta(milliseconds=900))
    raw = await world.document(session, Receipt.FORMAT)
    assert verify_receipt(raw, SIGNATURES, world.trust()).ok
    assert Receipt.parse(raw).curve == ((0, 1_000), (10, 1_200))


async def test_a_session_without_energy_has_a_receipt_over_nothing(world: World, driver: Driver) -> None:
    session = await world.end(await world.charging(driver, world.places[0]), 1_000)
    raw = await world.document(session, Receipt.FORMAT)
    assert verify_receipt(raw, SIGNATURES, world.trust()).ok
    assert (Receipt.parse(raw).energy, Receipt.parse(raw).due) == (0, 0)


async def test_a_receipt_holds_for_a_station_whose_clock_is_wrong(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    late = world.at(minutes=-40)
    assert (await world.begin(session, at=late)).accepted
    session = await world.now(session)
    for minutes in (1, 2):
        world.clock.move(timedelta(minutes=1))
        sample = MeterSample(late + timedelta(minutes=minutes), Wh(1_000 + 100 * minutes))
        await world.events.metered(session.terms.connector, session.transaction_id, [sample])
    session = await world.end(session, 1_400, at=late + timedelta(minutes=3))
    raw = await world.document(session, Receipt.FORMAT)
    report = verify_receipt(raw, SIGNATURES, world.trust())
    assert report.ok, report.failed()
    assert session.delivered == 400


async def test_a_settlement_names_the_receipt_and_the_transaction(world: World, driver: Driver) -> None:
    session = await charge(world, driver)
    receipt = await world.document(session, Receipt.FORMAT)
    claim = await world.escrow.payout("any transaction")
    async with world.transitions.begin() as work:
        await Settlements(OPERATOR, world.receipts).issue(work, session, "claim", [claim])
    raw = await world.document(session, Settlement.FORMAT)
    assert verify_settlement(raw, SIGNATURES, receipt, world.trust()).ok
    settlement = Settlement.parse(raw)
    assert settlement.receipt_sha256 == receipt_hash(receipt)
    assert (settlement.amount, settlement.kind, settlement.payer) == (session.due, "claim", driver.address)
    assert settlement.chain == chain_ref(CONTRACTS)


async def test_a_document_that_is_out_is_never_written_anew(world: World, driver: Driver) -> None:
    session = await charge(world, driver)
    settlements = Settlements(OPERATOR, world.receipts)
    async with world.transitions.begin() as work:
        await settlements.issue(work, session, "claim", [])
    first = await world.document(session, Settlement.FORMAT)
    async with world.transitions.begin() as work:
        await settlements.issue(work, session, "claim", [await world.escrow.payout("later")])
    assert await world.document(session, Settlement.FORMAT) == first

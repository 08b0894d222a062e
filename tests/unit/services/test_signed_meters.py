"""What a meter signs itself is kept as it came, judged, and shown; never billed by."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session
from evmesh.domain.signed_meter import records_of
from evmesh.domain.stations import MeterSample
from evmesh.domain.units import Wh
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.services.signed_meters import FALSE_SIGNATURE, SIGNED_DIFFERS, UNSIGNED
from evmesh.sim.signing_meter import SigningMeter
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Report, Status
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, World, open_world
from tests.unit.verify.keys import Key

METER = SigningMeter("SN-4711")
KEY = bytes.fromhex(METER.public_key)
Sign = Callable[[datetime, int, datetime, int], str]


def honest(begun: datetime, start: int, ended: datetime, stop: int) -> str:
    return METER.charge(7, (begun, Wh(start)), (ended, Wh(stop)))


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, ocmf_key=KEY) as world:
        yield world


async def charge(world: World, driver: Driver, sign: Sign | None = honest) -> Session:
    """Charge 2 kWh; the station tells the meter's record with its StopTransaction."""
    session = await world.charging(driver, world.places[0], 5_000)
    begun, start = session.started_at or datetime.now(UTC), session.meter_start or 0
    world.clock.move(timedelta(minutes=30))
    await world.measure(session, start + 1_000)
    world.clock.move(timedelta(minutes=30))
    session, now = await world.now(session), world.clock.now()
    records = () if sign is None else (sign(begun, start, now, start + 2_000).encode(),)
    return await world.end(session, start + 2_000, samples=(MeterSample(now, None, signed=records),))


async def checked(world: World, session: Session) -> tuple[Receipt, Report]:
    raw = await world.document(session, Receipt.FORMAT)
    report = verify_receipt(raw, SIGNATURES, world.trust(), meter_signatures=EcdsaMeterSignatures())
    return Receipt.parse(raw), report


async def test_the_meters_own_bytes_are_in_the_tree_and_on_the_receipt(yard: World) -> None:
    session = await charge(yard, Driver())
    assert session.flags == ()
    receipt, report = await checked(yard, session)
    assert report.ok, report.failed()
    assert receipt.signed_meter is not None
    [record] = receipt.signed_meter.records
    assert receipt.signed_meter.public_key == KEY
    assert receipt.start.seq < record.seq < receipt.stop.seq
    async with yard.database.begin() as unit:
        [leaf] = records_of(await unit.session_leaves(session.id))
    assert leaf.payload == record.payload
    assert record.payload.startswith(b"OCMF|")
    found = {check.name: check for check in report.checks}["signed meter"]
    assert found.status is Status.OK
    assert "2000000 mWh" in found.what
    assert len(receipt.encode()) < 16_000


async def test_without_a_meter_that_signs_the_receipt_says_that_the_gateway_did(world: World) -> None:
    receipt, report = await checked(world, await charge(world, Driver(), None))
    assert receipt.signed_meter is None
    assert receipt.meter_key.kind == "gateway"
    assert {check.name: check.status for check in report.checks}["signed meter"] is Status.OK


LIES: list[tuple[str, Sign, str]] = [
    (
        "signed by another key",
        lambda begun, start, ended, stop: replace(METER, lies=True).charge(
            7, (begun, Wh(start)), (ended, Wh(stop))
        ),
        FALSE_SIGNATURE,
    ),
    (
        "one digit changed after signing",
        lambda *of: honest(*of).replace('"PG":"T7"', '"PG":"T8"'),
        FALSE_SIGNATURE,
    ),
    ("less than is told", lambda b, start, e, stop: honest(b, start, e, stop - 2), SIGNED_DIFFERS),
    ("another charge", lambda b, start, e, stop: honest(b, start + 2, e, stop), SIGNED_DIFFERS),
    ("a register that went back", lambda b, start, e, stop: honest(b, start, e, start - 1), SIGNED_DIFFERS),
    ("no record at all", lambda *of: "OCMF|{}|{}", SIGNED_DIFFERS),
]


@pytest.mark.parametrize(("sign", "flag"), [row[1:] for row in LIES], ids=[row[0] for row in LIES])
async def test_a_record_that_does_not_hold_is_flagged_and_billed_by_the_register(
    yard: World, sign: Sign, flag: str
) -> None:
    session = await charge(yard, Driver(), sign)
    assert session.flags == (flag,)
    assert session.delivered == 2_000
    receipt, report = await checked(yard, session)
    assert report.ok, report.failed()
    assert receipt.signed_meter is None  # the receipt does not lean on it
    async with yard.database.begin() as unit:
        assert len(records_of(await unit.session_leaves(session.id))) == 1  # an auditor finds it


async def test_a_meter_that_signs_and_did_not_is_flagged(yard: World) -> None:
    assert (await charge(yard, Driver(), None)).flags == (UNSIGNED,)


async def test_less_may_be_billed_than_the_meter_has_signed(yard: World) -> None:
    session = await charge(yard, Driver(), lambda b, start, e, stop: honest(b, start, e, stop + 500))
    assert session.flags == ()


async def test_a_record_that_comes_twice_is_one_leaf(yard: World) -> None:
    session = await yard.charging(Driver(), yard.places[0], 5_000)
    begun, start = session.started_at or datetime.now(UTC), session.meter_start or 0
    yard.clock.move(timedelta(minutes=30))
    raw = honest(begun, start, yard.clock.now(), start + 500).encode()
    for _ in range(2):
        await yard.measure(session, start + 500, signed=(raw,))
    async with yard.database.begin() as unit:
        assert len(records_of(await unit.session_leaves(session.id))) == 1


async def test_a_false_record_on_a_receipt_is_found(yard: World) -> None:
    """The payee signs again what it changed: the meter's signature does not follow."""
    receipt, _ = await checked(yard, await charge(yard, Driver()))
    assert receipt.signed_meter is not None
    other = replace(receipt.signed_meter, public_key=bytes.fromhex(SigningMeter("SN-1").public_key))
    forged = yard.receipts.sign(replace(receipt, signed_meter=other, signature=b""))
    report = verify_receipt(forged, SIGNATURES, meter_signatures=EcdsaMeterSignatures())
    assert {check.name: check.code for check in report.failed()} == {"signed meter": "ocmf.false_signature"}
    unchecked = verify_receipt(forged, SIGNATURES)
    assert {one.name: one.status for one in unchecked.checks}["signed meter"] is Status.NOT_CHECKED
    assert OPERATOR.payee.address != Key("thief").address

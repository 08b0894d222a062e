"""Invoice numbers: one for each session, none left out, whoever asks and however often."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from evmesh.app.main import app
from evmesh.domain.errors import IntegrityFailure, Refused
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session
from evmesh.services.invoices import Invoices
from evmesh.store import schema
from evmesh.store.database import Database
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, World, open_world

SELLER = """
name = "Stadtwerke Musterstadt"
address = ["Hauptstraße 1", "12345 Musterstadt"]
tax_id = "DE123456789"
contact = "laden@example.org"
currency = "EUR"
time_zone = "Europe/Berlin"
vat_percent = "19"
"""


@pytest.fixture
def invoices(world: World) -> Invoices:
    return Invoices(world.database, SIGNATURES, UTC)


async def charged(world: World, bay: int) -> Session:
    session = await world.charging(Driver(f"driver {bay}"), world.places[bay])
    world.clock.move(timedelta(minutes=30))
    return await world.end(session, (session.meter_start or 0) + 2_000)


async def number(invoices: Invoices, session: Session, world: World) -> str:
    return (await invoices.bill(session.id, world.clock.now()))[1].text


async def test_numbers_count_from_one_in_the_order_in_which_they_are_asked_for(
    world: World, invoices: Invoices
) -> None:
    first, second, third = [await charged(world, bay) for bay in range(3)]
    assert await number(invoices, second, world) == "2026-000001"
    assert await number(invoices, third, world) == "2026-000002"
    assert await number(invoices, second, world) == "2026-000001"
    assert await number(invoices, first, world) == "2026-000003"


async def test_each_year_begins_at_one_by_the_operators_own_midnight(world: World) -> None:
    invoices = Invoices(world.database, SIGNATURES, ZoneInfo("Europe/Berlin"))
    first, second = await charged(world, 0), await charged(world, 1)
    midnight = datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert (await invoices.bill(first.id, midnight - timedelta(seconds=1)))[1].text == "2026-000001"
    assert (await invoices.bill(second.id, midnight))[1].text == "2027-000001"


async def test_what_has_no_true_receipt_takes_no_number(world: World, invoices: Invoices) -> None:
    open_session = await world.charging(Driver("still there"), world.places[1])
    session, lied = await charged(world, 0), await charged(world, 2)
    with pytest.raises(Refused) as refused:
        await invoices.bill(open_session.id, world.clock.now())
    assert refused.value.code == "invoice.not_yet"
    raw = await world.document(lied, Receipt.FORMAT)
    forged = raw.replace(b'"energy_wh":2000', b'"energy_wh":2001')
    assert forged != raw
    async with world.database.begin() as unit:
        table = schema.documents
        await unit.execute(table.update().where(table.c.session == lied.id.text).values(raw=forged))
    with pytest.raises(IntegrityFailure) as failure:
        await invoices.bill(lied.id, world.clock.now())
    assert failure.value.code == "invoice.false_receipt"
    assert await number(invoices, session, world) == "2026-000001"


async def test_two_writers_at_once_leave_no_gap_and_no_double(world: World, tmp_path: Path) -> None:
    """The command line gives numbers beside the platform, on the same file."""
    sessions = [await charged(world, bay) for bay in range(4)]
    beside = Database(f"sqlite+aiosqlite:///{tmp_path / 'state.db'}")
    try:
        desks = [Invoices(store, SIGNATURES, UTC) for store in (world.database, beside)]
        asked = [desk.bill(one.id, world.clock.now()) for one in sessions for desk in desks]
        given = [answer[1].number for answer in await asyncio.gather(*asked)]
    finally:
        await beside.close()
    assert sorted(given) == [1, 1, 2, 2, 3, 3, 4, 4]


async def test_a_number_survives_a_restart_and_a_crash_takes_none(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    async with open_world(tmp_path) as world:
        first, second = await charged(world, 0), await charged(world, 1)

        async def killed() -> None:
            async with world.database.begin() as unit:
                await unit.add_invoice(OPERATOR.payee.address, 2026, first.id, world.clock.now())
                raise Killed

        with pytest.raises(Killed):
            await killed()
        assert await number(Invoices(world.database, SIGNATURES, UTC), second, world) == "2026-000001"
        clock = world.clock
    async with open_world(tmp_path, clock=clock) as again:
        invoices = Invoices(again.database, SIGNATURES, UTC)
        assert await number(invoices, second, again) == "2026-000001"
        assert await number(invoices, first, again) == "2026-000002"


async def test_the_command_gives_the_same_number_again(world: World, tmp_path: Path) -> None:
    session = await charged(world, 0)
    seller, pdf = tmp_path / "seller.toml", tmp_path / "invoice.pdf"
    seller.write_text(SELLER)

    def run(*more: str) -> object:
        asked = ["invoice", session.id.text, "--data", str(tmp_path), "--seller", str(seller)]
        return CliRunner().invoke(app, [*asked, "-o", str(pdf), *more])

    first = await asyncio.to_thread(run)
    assert first.exit_code == 0, first.output  # type: ignore[attr-defined]
    written = pdf.read_bytes()
    assert written.startswith(b"%PDF")
    assert "invoice 2026-000001" in first.output  # type: ignore[attr-defined]
    again = await asyncio.to_thread(run)
    assert "invoice 2026-000001" in again.output  # type: ignore[attr-defined]
    assert pdf.read_bytes() == written
    mixed = await asyncio.to_thread(run, "--number", "7")
    assert mixed.exit_code == 2  # type: ignore[attr-defined]
